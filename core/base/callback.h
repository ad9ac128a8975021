// A function that is handed on until it is called: as std::function, but it cannot be copied, and
// what it holds up to kInline bytes lies within it, so that one made for each publish costs no
// allocation. Larger ones are allocated.
//
//   Callback<void(absl::Status)> done = [self, batch](const absl::Status& status) {...};
//   if (done) done(absl::OkStatus());
//
// Thread rule: a value type.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace sluice {

template <class Signature>
class Callback;

template <class... Args>
class Callback<void(Args...)> {
 public:
  static constexpr size_t kInline = 88;

  Callback() = default;
  Callback(std::nullptr_t) {}  // NOLINT(google-explicit-constructor)
  template <class Fn>
  requires(!std::same_as<std::decay_t<Fn>, Callback> && std::invocable<std::decay_t<Fn>&, Args...>)
      // NOLINTNEXTLINE(google-explicit-constructor,bugprone-forwarding-reference-overload)
      Callback(Fn&& fn) {
    using Target = std::decay_t<Fn>;
    // As an empty function, or none.
    if constexpr (requires { static_cast<bool>(fn); } &&
                  !std::is_convertible_v<Target, void (*)(Args...)>) {
      if (!static_cast<bool>(fn)) return;
    }
    if constexpr (sizeof(Target) <= kInline && std::is_nothrow_move_constructible_v<Target>) {
      new (&target_) Target(std::forward<Fn>(fn));
      type_ = &kInPlace<Target>;
    } else {
      *this = Callback([boxed = std::make_unique<Target>(std::forward<Fn>(fn))](Args... args) {
        (*boxed)(std::forward<Args>(args)...);
      });
    }
  }
  Callback(Callback&& other) noexcept { Take(other); }
  Callback& operator=(Callback&& other) noexcept {
    if (this == &other) return *this;
    Clear();
    Take(other);
    return *this;
  }
  ~Callback() { Clear(); }

  explicit operator bool() const { return type_ != nullptr; }
  // REQUIRES: it holds a function.
  void operator()(Args... args) const { type_->call(&target_, std::forward<Args>(args)...); }

 private:
  struct Type {
    void (*call)(void* target, Args... args);
    // Makes `to` of `from`, and ends `from`.
    void (*move)(void* from, void* to);
    void (*end)(void* target);
  };
  template <class Target>
  static constexpr Type kInPlace = {[](void* target, Args... args) {
                                      (*static_cast<Target*>(target))(std::forward<Args>(args)...);
                                    },
                                    [](void* from, void* to) {
                                      new (to) Target(std::move(*static_cast<Target*>(from)));
                                      static_cast<Target*>(from)->~Target();
                                    },
                                    [](void* target) { static_cast<Target*>(target)->~Target(); }};

  void Take(Callback& other) {
    if (other.type_ == nullptr) return;
    type_ = std::exchange(other.type_, nullptr);
    type_->move(&other.target_, &target_);
  }
  void Clear() {
    if (type_ != nullptr) std::exchange(type_, nullptr)->end(&target_);
  }

  const Type* type_ = nullptr;
  // Changes when it is called, as a lambda's captures do.
  alignas(
      std::max_align_t) mutable std::byte target_[kInline];  // NOLINT: raw storage, typed by type_
};

}  // namespace sluice
