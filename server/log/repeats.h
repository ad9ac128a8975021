// Keeps an event that comes again and again from filling the log. Of one event (its level, part and
// text, whatever its fields are) the first 10 within 10 s are written as they come; of the rest of
// these 10 s the last one, once they are over, with how many it stands for.
//
//   std::vector<HeldEvent> due;
//   if (repeats.MayWrite(event, now, &due)) ...write it;
//   ...write `due` in any case;
//   for (const HeldEvent& held : repeats.TakeDue(now)) ...     // once a second
//
// It remembers 256 events; who makes place for another is written first. So nothing is lost without
// a trace.
//
// Thread rule: a plain object; the owner locks.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "server/log/log.h"

namespace sluice::server {

struct HeldEvent {
  LogLevel level;
  LogPart part;
  std::string event;
  std::vector<std::pair<std::string, std::string>> fields;
};

class Repeats {
 public:
  static constexpr int kWrittenAtOnce = 10;
  static constexpr absl::Duration kWindow = absl::Seconds(10);
  static constexpr size_t kMaxEvents = 256;

  // Whether it is to be written now. `due` gets what was held back and is due, to be written before
  // it.
  bool MayWrite(LogLevel level, LogPart part, std::string_view event, const LogFields& fields,
                Instant now, std::vector<HeldEvent>* due);
  // What was held back and whose 10 s are over.
  std::vector<HeldEvent> TakeDue(Instant now);
  // All that was held back, at the end.
  std::vector<HeldEvent> TakeAll();

 private:
  using Key = std::tuple<LogLevel, LogPart, std::string>;
  struct Window {
    Instant end;
    int written = 0;
    uint64_t held = 0;
    std::vector<std::pair<std::string, std::string>> last;
  };
  using Windows = std::map<Key, Window>;

  static void Take(const Key& key, Window* window, std::vector<HeldEvent>* out);
  void MakePlace(std::vector<HeldEvent>* due);

  Windows windows_;
};

}  // namespace sluice::server
