#include "server/security/tls/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/base/yaml_file.h"

namespace sluice::server {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio BioOf(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

// No key of ours has a passphrase, and nobody is asked for one.
int NoPassphrase(char*, int, int, void*) { return 0; }

X509Ptr CertificateOf(const std::string& pem) {
  return {PEM_read_bio_X509(BioOf(pem).get(), nullptr, &NoPassphrase, nullptr), &X509_free};
}

KeyPtr KeyOf(const std::string& pem) {
  return {PEM_read_bio_PrivateKey(BioOf(pem).get(), nullptr, &NoPassphrase, nullptr),
          &EVP_PKEY_free};
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm tm = {};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return absl::InfinitePast();
  return absl::FromCivil(absl::CivilSecond(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                                           tm.tm_min, tm.tm_sec),
                         absl::UTCTimeZone());
}

std::string SubjectOf(const X509* certificate) {
  const Bio out(BIO_new(BIO_s_mem()), &BIO_free);
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

absl::Status Wrong(std::string_view field, const std::string& path, std::string_view why) {
  return Error(Reason::kInvalidConfig, fmt::format("{}: {}: {}", field, path, why),
               {{"field", std::string(field)}, {"value", path}});
}

absl::Status CheckPair(const TlsOptions& options, Certificates* pair, absl::Time now) {
  const X509Ptr certificate = CertificateOf(pair->chain);
  if (certificate == nullptr)
    return Wrong("tls.cert", options.cert, "there is no certificate (PEM) in it");
  const KeyPtr key = KeyOf(pair->key);
  if (key == nullptr)
    return Wrong("tls.key", options.key,
                 "there is no private key (PEM, without a passphrase) in it");
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Wrong("tls.key", options.key, fmt::format("it is not the key of {}", options.cert));
  }
  pair->expires = ToTime(X509_get0_notAfter(certificate.get()));
  pair->subject = SubjectOf(certificate.get());
  if (now >= pair->expires) {
    return Wrong(
        "tls.cert", options.cert,
        fmt::format("it expired at {}", absl::FormatTime(pair->expires, absl::UTCTimeZone())));
  }
  if (X509_check_purpose(certificate.get(), X509_PURPOSE_SSL_SERVER, 0) != 1) {
    return Wrong("tls.cert", options.cert, "it is not for servers (extended key usage)");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Certificates> Certificates::Read(const TlsOptions& options, absl::Time now) {
  if (options.cert.empty())
    return Wrong("tls.cert", options.cert, "is required with tls.key and tls.client_ca");
  if (options.key.empty()) return Wrong("tls.key", options.key, "is required with tls.cert");
  if (options.client_auth != ClientAuth::kNone && options.client_ca.empty()) {
    return Wrong("tls.client_ca", options.client_ca, "is required with tls.client_auth");
  }
  Certificates pair;
  const std::array<std::pair<const std::string&, std::string*>, 2> files = {
      {{options.cert, &pair.chain}, {options.key, &pair.key}}};
  for (const auto& [path, text] : files) {
    auto read = ReadTextFile(path);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  if (absl::Status status = CheckPair(options, &pair, now); !status.ok()) return status;
  auto authorities = ReadAuthorities("tls.client_ca", options.client_ca);
  if (!authorities.ok()) return authorities.status();
  pair.client_ca = *std::move(authorities);
  return pair;
}

absl::StatusOr<std::string> ReadAuthorities(std::string_view field, const std::string& path) {
  if (path.empty()) return "";
  auto text = ReadTextFile(path);
  if (text.ok() && CertificateOf(*text) == nullptr)
    return Wrong(field, path, "there is no certificate (PEM) in it");
  return text;
}

absl::StatusOr<std::unique_ptr<CertificateStore>> CertificateStore::Open(const TlsOptions& options,
                                                                         absl::Time now) {
  auto store = std::unique_ptr<CertificateStore>(new CertificateStore(options));
  if (absl::Status status = store->Reload(now); !status.ok()) return status;
  return store;
}

std::shared_ptr<const Certificates> CertificateStore::current() const {
  MutexLock lock(mu_);
  return current_;
}

absl::Status CertificateStore::Reload(absl::Time now) {
  auto read = Certificates::Read(options_, now);
  if (!read.ok()) return read.status();
  auto current = std::make_shared<const Certificates>(*std::move(read));
  MutexLock lock(mu_);
  current_ = std::move(current);
  return absl::OkStatus();
}

}  // namespace sluice::server
