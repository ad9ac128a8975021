// The real sluiced, as a process to be signalled and killed.
//
//   ServerProcess server("build/release/bin/sluiced", {"--data-dir=" + folder});
//   server.Start();                                  // returns when it is ready
//   server.Kill();  server.Start();                  // the same address again
//   server.Signal(SIGTERM);
//   EXPECT_EQ(server.Wait(), 0);
//
// Thread rule: one thread.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

class ServerProcess {
 public:
  ServerProcess(std::string program, std::vector<std::string> flags)
      : program_(std::move(program)), flags_(std::move(flags)) {}
  ~ServerProcess() { Kill(); }

  void Start() {
    int out[2];
    if (::pipe2(out, O_CLOEXEC) != 0) Die("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) Execute(out[1]);
    ::close(out[1]);
    ReadUntilReady(out[0]);
    // Nobody reads it any more; the server must not stop for that.
    ::close(out[0]);
  }
  void Signal(int signal) { ::kill(pid_, signal); }
  // The exit code, or 128 and the signal that ended it.
  int Wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void Kill() {
    if (pid_ <= 0) return;
    Signal(SIGKILL);
    Wait();
  }
  const std::string& port() const { return port_; }
  const std::string& http_port() const { return http_port_; }
  std::string address() const { return "127.0.0.1:" + port_; }

 private:
  [[noreturn]] static void Die(const std::string& what) {
    std::fprintf(stderr, "sluiced: %s\n", what.c_str());
    std::abort();
  }
  [[noreturn]] void Execute(int out) {
    ::dup2(out, STDERR_FILENO);
    std::vector<std::string> words = {program_, "--listen=127.0.0.1:" + port_,
                                      "--http=127.0.0.1:0"};
    words.insert(words.end(), flags_.begin(), flags_.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execv(program_.c_str(), argv.data());
    ::_exit(127);
  }
  void ReadUntilReady(int out) {
    const std::string mark = " grpc=127.0.0.1:";
    std::string log;
    for (;;) {
      char buffer[4096];
      const ssize_t n = ::read(out, buffer, sizeof buffer);
      if (n <= 0) Die("did not start:\n" + log);
      log.append(buffer, static_cast<size_t>(n));
      const size_t at = log.find(mark);
      if (at == std::string::npos || log.find('\n', at) == std::string::npos) continue;
      port_ = WordBehind(mark, log);
      http_port_ = WordBehind(" http=127.0.0.1:", log);
      return;
    }
  }
  static std::string WordBehind(const std::string& mark, const std::string& log) {
    const size_t at = log.find(mark) + mark.size();
    return log.substr(at, log.find(' ', at) - at);
  }

  const std::string program_;
  const std::vector<std::string> flags_;
  std::string port_ = "0";
  std::string http_port_;
  pid_t pid_ = 0;
};

}  // namespace sluice
