// A disk for the view that can be told to fail: RocksDB's file system with its changes counted.
// Nothing is synced: only the process may die.
//
//   ViewFaults faults;
//   options.view_env = faults.env();
//   faults.Fail(rocksdb::IOStatus::NoSpace("full"));            // every change from now on
//   faults.FailOnce(7, rocksdb::IOStatus::IOError("bad"));      // the 8th alone
//   faults.Heal();
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/base/mutex.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "rocksdb/system_clock.h"

namespace sluice {

class ViewFaults {
 public:
  ViewFaults() : files_(std::make_shared<Files>()), env_(std::make_unique<Environment>(files_)) {}

  rocksdb::Env* env() const { return env_.get(); }

  void Fail(rocksdb::IOStatus error) { files_->state.Set(0, false, std::move(error)); }
  void FailOnce(int after, rocksdb::IOStatus error) {
    files_->state.Set(after, true, std::move(error));
  }
  void Heal() { files_->state.Set(0, false, rocksdb::IOStatus::OK()); }
  // Whether something was failed since it was told to.
  bool failed() const { return files_->state.failed(); }

 private:
  class State {
   public:
    void Set(int after, bool once, rocksdb::IOStatus error) EXCLUDES(mu_) {
      MutexLock lock(mu_);
      left_ = after;
      once_ = once;
      failed_ = false;
      error_ = std::move(error);
    }
    bool failed() EXCLUDES(mu_) {
      MutexLock lock(mu_);
      return failed_;
    }
    // What becomes of the next change.
    rocksdb::IOStatus Next() EXCLUDES(mu_) {
      MutexLock lock(mu_);
      if (error_.ok() || (once_ && failed_) || left_-- > 0) return rocksdb::IOStatus::OK();
      failed_ = true;
      return error_;
    }

   private:
    Mutex mu_;
    int left_ GUARDED_BY(mu_) = 0;
    bool once_ GUARDED_BY(mu_) = false;
    bool failed_ GUARDED_BY(mu_) = false;
    rocksdb::IOStatus error_ GUARDED_BY(mu_);
  };

  template <class Change>
  static rocksdb::IOStatus Do(State& state, const Change& change) {
    rocksdb::IOStatus next = state.Next();
    return next.ok() ? change() : next;
  }

  class Writable final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    Writable(std::unique_ptr<rocksdb::FSWritableFile> file, State& state)
        : FSWritableFileOwnerWrapper(std::move(file)), state_(state) {}
    using FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* dbg) override {
      return Do(state_, [&] { return FSWritableFileOwnerWrapper::Append(data, options, dbg); });
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* dbg) override {
      return Do(state_, [&] { return FSWritableFileOwnerWrapper::Flush(options, dbg); });
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options,
                            rocksdb::IODebugContext* dbg) override {
      return Do(state_, [&] { return FSWritableFileOwnerWrapper::Flush(options, dbg); });
    }
    rocksdb::IOStatus Close(const rocksdb::IOOptions& options,
                            rocksdb::IODebugContext* dbg) override {
      return Do(state_, [&] { return FSWritableFileOwnerWrapper::Close(options, dbg); });
    }

   private:
    State& state_;
  };

  class Directory final : public rocksdb::FSDirectoryWrapper {
   public:
    Directory(std::unique_ptr<rocksdb::FSDirectory> directory, State& state)
        : FSDirectoryWrapper(std::move(directory)), state_(state) {}
    rocksdb::IOStatus FsyncWithDirOptions(const rocksdb::IOOptions&, rocksdb::IODebugContext*,
                                          const rocksdb::DirFsyncOptions&) override {
      return Do(state_, [] { return rocksdb::IOStatus::OK(); });
    }

   private:
    State& state_;
  };

  class Files final : public rocksdb::FileSystemWrapper {
   public:
    Files() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
    const char* Name() const override { return "ViewFaults"; }

    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* dbg) override {
      rocksdb::IOStatus made =
          Do(state, [&] { return FileSystemWrapper::NewWritableFile(name, options, file, dbg); });
      if (made.ok()) *file = std::make_unique<Writable>(std::move(*file), state);
      return made;
    }
    rocksdb::IOStatus NewDirectory(const std::string& name, const rocksdb::IOOptions& options,
                                   std::unique_ptr<rocksdb::FSDirectory>* directory,
                                   rocksdb::IODebugContext* dbg) override {
      rocksdb::IOStatus made = FileSystemWrapper::NewDirectory(name, options, directory, dbg);
      if (made.ok()) *directory = std::make_unique<Directory>(std::move(*directory), state);
      return made;
    }
    rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                                 const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* dbg) override {
      return Do(state, [&] { return FileSystemWrapper::RenameFile(from, to, options, dbg); });
    }

    State state;
  };

  // After a failed write RocksDB waits for a second.
  class NoSleep final : public rocksdb::SystemClockWrapper {
   public:
    NoSleep() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
    const char* Name() const override { return "NoSleep"; }
    void SleepForMicroseconds(int) override {}
  };

  class Environment final : public rocksdb::EnvWrapper {
   public:
    explicit Environment(const std::shared_ptr<Files>& files)
        : EnvWrapper(rocksdb::NewCompositeEnv(files)) {
      file_system_ = files;
      system_clock_ = std::make_shared<NoSleep>();
    }
  };

  const std::shared_ptr<Files> files_;
  const std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace sluice
