// SPDX-License-Identifier: MIT
/**
 * @file owner.hpp
 * C++17: owners of objects that lie in a pool (lode/pool.h, lode/cpool.h). Header only; link
 * liblode-ext.
 *
 *     struct lode_pool_opts opts = lode::pool_opts<Creature>("creatures");
 *     struct lode_pool *creatures;
 *     if (lode_pool_create(&opts, &creatures) == 0) {
 *         {
 *             lode::pool_ptr<Creature> wolf = lode::pool_make<Creature>(creatures, "wolf", 12);
 *             if (wolf) wolf->howl();
 *         }                                        // ended, and its memory is the pool's again
 *         lode_pool_destroy(creatures);
 *     }
 */
#ifndef LODE_OWNER_HPP
#define LODE_OWNER_HPP

#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "lode/cpool.h"
#include "lode/pool.h"

namespace lode
{

/** The C calls of both kinds of pools by one name. */
inline void *pool_acquire(struct lode_pool *pool) noexcept
{
    return lode_pool_acquire(pool);
}

inline void *pool_acquire(struct lode_cpool *pool) noexcept
{
    return lode_cpool_acquire(pool);
}

inline int pool_release(struct lode_pool *pool, void *object) noexcept
{
    return lode_pool_release(pool, object);
}

inline int pool_release(struct lode_cpool *pool, void *object) noexcept
{
    return lode_cpool_release(pool, object);
}

/** Options of a pool, of either kind, whose objects hold a T. */
template <class T> struct lode_pool_opts pool_opts(const char *name = nullptr) noexcept
{
    static_assert(sizeof(T) <= LODE_POOL_OBJECT_MAX && alignof(T) <= LODE_POOL_ALIGN_MAX);
    struct lode_pool_opts opts = LODE_POOL_OPTS_INIT;
    opts.object_bytes = sizeof(T);
    opts.align = alignof(T);
    opts.name = name;
    return opts;
}

/** Ends a T and gives its memory back to the pool it came from. */
template <class T, class Pool = struct lode_pool> class pool_delete
{
  public:
    pool_delete() = default;

    explicit pool_delete(Pool *pool) noexcept : pool_(pool)
    {
    }

    void operator()(T *object) const noexcept
    {
        object->~T();
        // Fails only for what was released behind the owner's back.
        (void)pool_release(pool_, const_cast<std::remove_cv_t<T> *>(object));
    }

    Pool *pool() const noexcept
    {
        return pool_;
    }

  private:
    Pool *pool_ = nullptr;
};

/**
 * The owner of one object of a pool: moved, not copied; its end is the object's, whose memory goes
 * back to the pool. `Pool` is struct lode_pool or struct lode_cpool. The pool has to outlive it.
 *
 * Threads: as the pool's release: of a struct lode_pool its own thread; of a struct lode_cpool any.
 */
template <class T, class Pool = struct lode_pool>
using pool_ptr = std::unique_ptr<T, pool_delete<T, Pool>>;

/**
 * Construct a T of `args` in an object of `pool`, whose objects must be large and aligned enough:
 * those of pool_opts<T>() are. Hooks of the pool run before the constructor and after the
 * destructor.
 *
 * Empty: the pool is at its limit or out of memory, or its hook refused. What the constructor
 * throws is passed on, and the memory is the pool's again.
 */
template <class T, class Pool, class... Args>
pool_ptr<T, Pool> pool_make(Pool *pool, Args &&...args)
{
    static_assert(std::is_object_v<T> && !std::is_array_v<T>, "one object");
    struct guard {
        Pool *pool;
        void *memory;
        ~guard()
        {
            if (memory != nullptr)
                (void)pool_release(pool, memory);
        }
    } held = {pool, pool_acquire(pool)};
    if (held.memory == nullptr)
        return pool_ptr<T, Pool>(nullptr, pool_delete<T, Pool>(pool));
    T *object = ::new (held.memory) T(std::forward<Args>(args)...);
    held.memory = nullptr;
    return pool_ptr<T, Pool>(object, pool_delete<T, Pool>(pool));
}

/**
 * Share what `owner` owned: the last of the owners gives it back. Empty, if `owner` is. What they
 * count in is allocated by `counts`, lode::allocator<T> say; if that throws, the object is gone.
 */
template <class T, class Pool, class Counts = std::allocator<std::remove_cv_t<T>>>
std::shared_ptr<T> pool_share(pool_ptr<T, Pool> owner, const Counts &counts = Counts())
{
    pool_delete<T, Pool> end = owner.get_deleter();
    if (!owner)
        return nullptr;
    return std::shared_ptr<T>(owner.release(), end, counts);
}

} // namespace lode

#endif
