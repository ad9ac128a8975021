// A reference-counted pointer whose count lives in the object: one allocation, one word, and a raw
// pointer can be handed through a C callback and become a reference again.
//
//   struct Page : RefCounted<Page> {...};
//   Ref<Page> page = MakeRef<Page>(...);
//
// Thread rule: references to one object may be copied and dropped on any thread; one Ref is not to
// be changed by two threads at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace sluice {

// A type with storage of its own making may hide `Destroy`.
template <class T>
class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void AddRef() const { count_.fetch_add(1, std::memory_order_relaxed); }
  void DropRef() const {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      T::Destroy(const_cast<T*>(static_cast<const T*>(this)));
    }
  }

  static void Destroy(T* object) { delete object; }

 private:
  mutable std::atomic<uint32_t> count_{1};
};

template <class T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}  // NOLINT(google-explicit-constructor)
  Ref(const Ref& other) : ptr_(other.ptr_) {
    if (ptr_ != nullptr) ptr_->AddRef();
  }
  Ref(Ref&& other) noexcept : ptr_(std::exchange(other.ptr_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(ptr_, other.ptr_);
    return *this;
  }
  ~Ref() {
    if (ptr_ != nullptr) ptr_->DropRef();
  }

  // Takes over a reference that the caller owns.
  static Ref Adopt(T* ptr) {
    Ref ref;
    ref.ptr_ = ptr;
    return ref;
  }
  // Gives the reference to the caller, who must Adopt it or call DropRef.
  T* Release() { return std::exchange(ptr_, nullptr); }

  T* get() const { return ptr_; }
  T* operator->() const { return ptr_; }
  T& operator*() const { return *ptr_; }
  explicit operator bool() const { return ptr_ != nullptr; }
  bool operator==(const Ref& other) const = default;

 private:
  T* ptr_ = nullptr;
};

template <class T, class... Args>
Ref<T> MakeRef(Args&&... args) {
  return Ref<T>::Adopt(new T(std::forward<Args>(args)...));
}

}  // namespace sluice
