// Clang's thread-safety attributes under names of our own, empty for other compilers. The `tidy`
// preset builds with clang and -Werror=thread-safety. See
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html.
//
// Thread rule: nothing here exists at run time.
#pragma once

#if defined(__clang__)
#define SLUICE_ATTRIBUTE(x) __attribute__((x))
#else
#define SLUICE_ATTRIBUTE(x)
#endif

#define CAPABILITY(x) SLUICE_ATTRIBUTE(capability(x))
#define SCOPED_CAPABILITY SLUICE_ATTRIBUTE(scoped_lockable)
#define REQUIRES(...) SLUICE_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) SLUICE_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) SLUICE_ATTRIBUTE(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) SLUICE_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define EXCLUDES(...) SLUICE_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ASSERT_CAPABILITY(x) SLUICE_ATTRIBUTE(assert_capability(x))
#define RETURN_CAPABILITY(x) SLUICE_ATTRIBUTE(lock_returned(x))

// These three some versions of Abseil define as well, alike.
#include "absl/base/thread_annotations.h"
#ifndef GUARDED_BY
#define GUARDED_BY(x) SLUICE_ATTRIBUTE(guarded_by(x))
#endif
#ifndef PT_GUARDED_BY
#define PT_GUARDED_BY(x) SLUICE_ATTRIBUTE(pt_guarded_by(x))
#endif
#ifndef NO_THREAD_SAFETY_ANALYSIS
#define NO_THREAD_SAFETY_ANALYSIS SLUICE_ATTRIBUTE(no_thread_safety_analysis)
#endif
