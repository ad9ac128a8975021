# To be sourced: where the system's Go cannot fetch the version that a module asks for (that began with 1.21; Debian 12 has
# 1.19), puts one that can in front of it on PATH. It comes as a module itself (https://go.dev/doc/toolchain).
newer_go() {
  local minor folder
  minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ "${minor:-99}" -ge 21 ] && return
  folder=$(cd / && go mod download -json "golang.org/toolchain@v0.0.1-go1.24.0.$(go env GOOS)-$(go env GOARCH)" |
    sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  [ -n "$folder" ] || return
  chmod u+x "$folder"/bin/* "$folder"/pkg/tool/*/*
  export PATH="$folder/bin:$PATH" GOTOOLCHAIN=auto
}
newer_go
unset -f newer_go
