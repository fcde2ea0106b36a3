// SPDX-License-Identifier: MIT
/**
 * @file lode.hpp
 * C++17 over liblode-ext: allocators for the standard library, owners of pooled objects, scopes,
 * and what an engine of the Unreal kind plugs in. Header only; link liblode-ext.
 *
 *     lode::memory_resource frame(arena_allocator);              // std::pmr
 *     std::pmr::vector<Hit> hits(&frame);
 *
 *     std::map<int, Ore, std::less<>, lode::allocator<std::pair<const int, Ore>>> ores(heap);
 *
 *     lode::pool_ptr<Creature> wolf = lode::pool_make<Creature>(creatures, "wolf", 12);
 *
 *     {
 *         lode::tag_scope tag(TAG_TERRAIN);                      // malloc of this thread is tagged
 *         lode::pin<const int16_t> voxels(brick);                // unpinned at the end
 *         if (voxels) upload(voxels.get());
 *     }
 *
 * Everything borrows what it is given: heaps, arenas and pools have to outlive it. Where C has an
 * errno, allocation throws std::bad_alloc, as the standard library expects; scopes and owners that
 * can fail say so by a test.
 */
#ifndef LODE_LODE_HPP
#define LODE_LODE_HPP

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "lode/lode.h"
#include "lode/owner.hpp"

namespace lode
{

/** Out of memory, where the standard library expects an exception; abort() in programs without. */
[[noreturn]] inline void throw_bad_alloc()
{
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::abort();
#endif
}

/** std::pmr::memory_resource over any struct lode_allocator. Threads: as the allocator. */
class memory_resource final : public std::pmr::memory_resource
{
  public:
    explicit memory_resource(const struct lode_allocator &allocator) noexcept
        : allocator_(allocator)
    {
    }

    /** Over a first-class heap; nullptr: the default one. */
    explicit memory_resource(struct lode_heap *heap) noexcept
    {
        lode_heap_allocator(heap, &allocator_);
    }

    const struct lode_allocator &allocator() const noexcept
    {
        return allocator_;
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t align) override
    {
        void *block = lode_allocator_alloc(&allocator_, bytes, align);
        if (block == nullptr)
            throw_bad_alloc();
        return block;
    }

    void do_deallocate(void *block, std::size_t bytes, std::size_t align) override
    {
        // A LIFO allocator keeps what is not its newest block until a rewind: that is no fault.
        (void)lode_allocator_free(&allocator_, block, bytes, align);
    }

    /* Without run-time types what `other` is cannot be asked: then only itself is known to be
     * equal, which is always safe. */
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
#if defined(__cpp_rtti)
        const auto *same = dynamic_cast<const memory_resource *>(&other);
        return same != nullptr && same->allocator_.ops == allocator_.ops &&
               same->allocator_.ctx == allocator_.ctx;
#else
        return this == &other;
#endif
    }

    struct lode_allocator allocator_;
};

/** An allocator of the standard library's kind over any struct lode_allocator. */
template <class T> class allocator
{
  public:
    using value_type = T;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    /** Over a first-class heap; nullptr: the default one. */
    allocator(struct lode_heap *heap = nullptr) noexcept
    {
        lode_heap_allocator(heap, &allocator_);
    }

    allocator(const struct lode_allocator &other) noexcept : allocator_(other)
    {
    }

    template <class U> allocator(const allocator<U> &other) noexcept : allocator_(other.below())
    {
    }

    T *allocate(std::size_t count)
    {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T))
            throw_bad_alloc();
        void *block = lode_allocator_alloc(&allocator_, count * sizeof(T), alignof(T));
        if (block == nullptr)
            throw_bad_alloc();
        return static_cast<T *>(block);
    }

    void deallocate(T *block, std::size_t count) noexcept
    {
        (void)lode_allocator_free(&allocator_, block, count * sizeof(T), alignof(T));
    }

    const struct lode_allocator &below() const noexcept
    {
        return allocator_;
    }

  private:
    struct lode_allocator allocator_;
};

template <class T, class U> bool operator==(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.below().ops == b.below().ops && a.below().ctx == b.below().ctx;
}

template <class T, class U> bool operator!=(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return !(a == b);
}

/** A scope that does something at its end; not copied. */
class scope_base
{
  public:
    scope_base() = default;
    scope_base(const scope_base &) = delete;
    scope_base &operator=(const scope_base &) = delete;
};

/** While it lives, malloc of this thread serves from the heap of `tag`. */
class tag_scope : scope_base
{
  public:
    explicit tag_scope(std::uint16_t tag) noexcept : pushed_(lode_tag_push(tag) == 0)
    {
    }

    ~tag_scope()
    {
        if (pushed_)
            lode_tag_pop();
    }

    /** false: nested too deep, or out of memory; the tag before it stays. */
    explicit operator bool() const noexcept
    {
        return pushed_;
    }

  private:
    bool pushed_;
};

/** A reading section; see lode/handle.h. */
class read_section : scope_base
{
  public:
    read_section() noexcept : open_(lode_read_begin() == 0)
    {
    }

    ~read_section()
    {
        if (open_)
            lode_read_end();
    }

    explicit operator bool() const noexcept
    {
        return open_;
    }

  private:
    bool open_;
};

/** A pinned block. Moved, not copied; empty if the handle is stale. */
template <class T> class pin
{
  public:
    pin() = default;

    explicit pin(lode_handle handle) noexcept
        : handle_(handle), block_(static_cast<T *>(lode_pin(handle)))
    {
    }

    pin(pin &&other) noexcept : handle_(other.handle_), block_(std::exchange(other.block_, nullptr))
    {
    }

    pin &operator=(pin &&other) noexcept
    {
        if (this != &other) {
            reset();
            handle_ = other.handle_;
            block_ = std::exchange(other.block_, nullptr);
        }
        return *this;
    }

    ~pin()
    {
        reset();
    }

    void reset() noexcept
    {
        if (std::exchange(block_, nullptr) != nullptr)
            (void)lode_unpin(handle_);
    }

    T *get() const noexcept
    {
        return block_;
    }

    T &operator[](std::size_t i) const noexcept
    {
        return block_[i];
    }

    explicit operator bool() const noexcept
    {
        return block_ != nullptr;
    }

  private:
    lode_handle handle_ = LODE_HANDLE_NULL;
    T *block_ = nullptr;
};

/** All that was allocated from an arena within it is gone at its end. */
class arena_scope : scope_base
{
  public:
    explicit arena_scope(struct lode_arena *arena, const char *why = "arena_scope") noexcept
        : arena_(arena), mark_(lode_arena_mark(arena, why))
    {
    }

    ~arena_scope()
    {
        [[maybe_unused]] int status = lode_arena_unwind(arena_, mark_);
    }

    /** false: the arena has no room for another mark; what is allocated stays until an outer scope
     * ends. */
    explicit operator bool() const noexcept
    {
        return mark_ != 0;
    }

  private:
    struct lode_arena *arena_;
    lode_mark mark_;
};

/** A first-class heap of its own: destroyed, and every block in it, at its end. */
class heap : scope_base
{
  public:
    explicit heap(const char *name = nullptr, std::uint16_t tag = 0,
                  enum lode_kind kind = LODE_KIND_SYSTEM)
    {
        struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
        opts.name = name;
        opts.tag = tag;
        opts.kind = static_cast<std::uint8_t>(kind);
        if (lode_heap_create(&opts, &heap_) != 0)
            throw_bad_alloc();
    }

    ~heap()
    {
        lode_heap_destroy(heap_);
    }

    struct lode_heap *get() const noexcept
    {
        return heap_;
    }

  private:
    struct lode_heap *heap_ = nullptr;
};

/**
 * Unreal's FMalloc over Lode. `Base` is FMalloc, whose virtual functions these are; `Stats` is
 * FGenericMemoryStats, or anything with Add(name, value); `Char` is TCHAR.
 *
 *     static lode::unreal_malloc<FMalloc, FGenericMemoryStats, TCHAR> Lode(TEXT("Lode"));
 *     GMalloc = &Lode;
 *
 * Low-level memory tracker tags are Lode tags: push one with lode::tag_scope where the engine
 * pushes its own, and blocks go to that tag's heap, which lode_stats_get() and every tool show.
 */
template <class Base, class Stats, class Char> class unreal_malloc : public Base
{
  public:
    /** Called when Malloc or Realloc has no memory: FPlatformMemory::OnOutOfMemory. */
    using out_of_memory = void (*)(std::uint64_t bytes, std::uint32_t align);

    /** @fail  nullptr: abort(). */
    explicit unreal_malloc(const Char *name, out_of_memory fail = nullptr) noexcept
        : name_(name), fail_(fail)
    {
    }

    void *Malloc(std::size_t bytes, std::uint32_t align) override
    {
        void *block = TryMalloc(bytes, align);
        if (block == nullptr)
            report(bytes, align);
        return block;
    }

    void *TryMalloc(std::size_t bytes, std::uint32_t align) override
    {
        align = alignment(bytes, align);
        return align <= 16 ? lode_malloc(bytes) : lode_aligned_alloc(align, bytes);
    }

    void *Realloc(void *block, std::size_t bytes, std::uint32_t align) override
    {
        void *resized = TryRealloc(block, bytes, align);
        if (resized == nullptr && bytes != 0)
            report(bytes, align);
        return resized;
    }

    /** As the engine wants it: of 0 bytes frees and gives nullptr. */
    void *TryRealloc(void *block, std::size_t bytes, std::uint32_t align) override
    {
        if (block == nullptr)
            return TryMalloc(bytes, align);
        if (bytes == 0) {
            Free(block);
            return nullptr;
        }
        if (alignment(bytes, align) <= 16)
            return lode_realloc(block, bytes);
        std::size_t have = lode_usable_size(block);
        void *moved = lode_aligned_alloc(align, bytes);
        if (moved != nullptr) {
            std::memcpy(moved, block, have < bytes ? have : bytes);
            Free(block);
        }
        return moved;
    }

    void Free(void *block) override
    {
        lode_free(block);
    }

    /** 0: there can be no such block. */
    std::size_t QuantizeSize(std::size_t bytes, std::uint32_t align) override
    {
        std::size_t to = align > 16 ? align : 1;
        if (bytes > std::numeric_limits<std::size_t>::max() - (to - 1))
            return 0;
        return lode_good_size((bytes + to - 1) / to * to);
    }

    bool GetAllocationSize(void *block, std::size_t &ret_bytes) override
    {
        struct lode_block_info info;
        if (lode_block_find(block, &info) != 0 || info.start != block)
            return false;
        ret_bytes = info.usable_bytes;
        return true;
    }

    void Trim(bool) override
    {
        (void)lode_purge();
    }

    /** Thread caches are made on first use and adopted when a thread ends: nothing to do. */
    void SetupTLSCachesOnCurrentThread() override
    {
    }
    void ClearAndDisableTLSCachesOnCurrentThread() override
    {
    }

    void GetAllocatorStats(Stats &ret_stats) override
    {
        struct lode_stats figures = {};
        figures.size = sizeof(figures);
        if (lode_stats_get(nullptr, &figures) != 0)
            return;
#define LODE_UNREAL_STAT(field, help) ret_stats.Add("Lode." #field, figures.field);
        LODE_STATS_TABLE(LODE_UNREAL_STAT)
#undef LODE_UNREAL_STAT
    }

    bool IsInternallyThreadSafe() const override
    {
        return true;
    }

    const Char *GetDescriptiveName() override
    {
        return name_;
    }

  private:
    /* 0 is the engine's default: 8 bytes, 16 from 16 bytes on. */
    static std::uint32_t alignment(std::size_t bytes, std::uint32_t align) noexcept
    {
        return align != 0 ? align : bytes >= 16 ? 16 : 8;
    }

    void report(std::size_t bytes, std::uint32_t align)
    {
        if (fail_ == nullptr)
            std::abort();
        fail_(bytes, align);
    }

    const Char *name_;
    out_of_memory fail_;
};

/**
 * What a garbage collector has to know of handles: which blocks its objects hold. Roots are added
 * and removed by their owners; within a collection all of them are pinned, so that what the
 * collector sees of them neither moves nor is freed, and those that had become stale are dropped.
 *
 * Threads: one at a time, as the collector's own list of roots.
 */
class gc_bridge : scope_base
{
  public:
    explicit gc_bridge(const struct lode_allocator &below) : roots_(root_allocator(below))
    {
    }

    ~gc_bridge()
    {
        end();
    }

    /** `owner` holds `handle` from now on. A handle may have any number of owners: those beyond
     * LODE_PINS_MAX share a pin. */
    void add_root(lode_handle handle, void *owner)
    {
        roots_.push_back({handle, owner, nullptr, false});
        if (collecting_)
            hold(roots_.back(), roots_.size() - 1);
    }

    /** false: there is no such root. */
    bool remove_root(lode_handle handle, void *owner) noexcept
    {
        for (root &r : roots_)
            if (r.handle == handle && r.owner == owner) {
                release(r);
                r = roots_.back();
                roots_.pop_back();
                return true;
            }
        return false;
    }

    /** A collection begins. Returns how many roots were stale and are none any more. */
    std::size_t begin()
    {
        std::size_t kept = 0, count = roots_.size();
        if (collecting_)
            return 0;
        for (std::size_t i = 0; i < count; i++) {
            root r = roots_[i];
            if (hold(r, kept))
                roots_[kept++] = r;
        }
        roots_.resize(kept);
        collecting_ = true;
        return count - kept;
    }

    /** Calls visit(owner, handle, block) for each root. Within a collection `block` is pinned, or
     * nullptr where others have all LODE_PINS_MAX pins; else it is nullptr. */
    template <class Visit> void each(Visit &&visit) const
    {
        for (const root &r : roots_)
            visit(r.owner, r.handle, r.block);
    }

    void end() noexcept
    {
        for (root &r : roots_) {
            if (r.pinned)
                (void)lode_unpin(r.handle);
            r.block = nullptr;
            r.pinned = false;
        }
        collecting_ = false;
    }

    std::size_t size() const noexcept
    {
        return roots_.size();
    }

  private:
    struct root {
        lode_handle handle;
        void *owner;
        void *block;
        bool pinned; // by this root; else its block is another root's of the same handle
    };
    using root_allocator = lode::allocator<root>;

    /** Pin, or share the pin of one of the first `count` roots. false: the handle is stale. */
    bool hold(root &r, std::size_t count) noexcept
    {
        r.block = lode_pin(r.handle);
        r.pinned = r.block != nullptr;
        for (std::size_t i = count; r.block == nullptr && i > 0; i--)
            if (roots_[i - 1].handle == r.handle)
                r.block = roots_[i - 1].block;
        return r.block != nullptr || lode_handle_is_live(r.handle) != 0;
    }

    /** Unpin, or leave the pin to a root that shares it. */
    void release(root &r) noexcept
    {
        if (!std::exchange(r.pinned, false))
            return;
        for (root &other : roots_)
            if (other.handle == r.handle && other.block == r.block && !other.pinned &&
                &other != &r) {
                other.pinned = true;
                return;
            }
        (void)lode_unpin(r.handle);
    }

    std::vector<root, root_allocator> roots_;
    bool collecting_ = false;
};

} // namespace lode

#endif
