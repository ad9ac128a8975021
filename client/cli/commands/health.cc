// sluice health
#include "client/cli/commands/commands.h"
#include "client/cpp/status.h"
#include "fmt/format.h"
#include "grpcpp/generic/generic_stub.h"

namespace sluice::cli {
namespace {

// Whether the server says of itself that it serves. grpc.health.v1 is four bytes on the wire:
// HealthCheckRequest.service (field 1) stays empty for the whole server, HealthCheckResponse.status
// (field 1) is 1 for SERVING (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
absl::StatusOr<bool> Serving(const Session& session) {
  constexpr std::string_view kServing = "\x08\x01";
  const auto connection = session.Connect();
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + session.timeout));
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(connection->channel());
  const grpc::Slice empty;
  const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                          grpc::ByteBuffer(&empty, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return client::FromGrpc(status);
  grpc::Slice bytes;
  if (!answer.DumpToSingleSlice(&bytes).ok()) return false;
  return std::string_view(reinterpret_cast<const char*>(bytes.begin()), bytes.size()) == kServing;
}

int Health(const Session& session) {
  const absl::StatusOr<bool> serving = Serving(session);
  if (!serving.ok()) return Report(session, serving.status());
  if (session.json) {
    fmt::print("{}\n", nlohmann::json{{"server", session.server},
                                      {"status", *serving ? "serving" : "not serving"}}
                           .dump());
  } else {
    fmt::print("{} is {}\n", session.server,
               *serving ? "serving" : "not serving: it starts or ends");
  }
  return *serving ? kOk : kFailed;
}

}  // namespace

void AddHealthCommand(CLI::App& app, Run* run) {
  CLI::App* health =
      app.add_subcommand("health", "Check server health (exit code 1: not serving, 4: no answer)");
  health->footer("Example:\n  sluice health --server=127.0.0.1:8085");
  health->callback([=] { *run = Health; });
}

}  // namespace sluice::cli
