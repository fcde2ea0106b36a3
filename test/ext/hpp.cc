// SPDX-License-Identifier: MIT
// lode.hpp: the standard library, pooled objects, scopes, and a stub of Unreal's interfaces over
// liblode-ext. TAP.
#include <lode/lode.hpp>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace
{

int points, faults;

void ok(bool passed, const char *name)
{
    std::printf("%sok %d - %s\n", passed ? "" : "not ", ++points, name);
    faults += !passed;
}

std::size_t live_blocks(struct lode_heap *heap)
{
    struct lode_stats stats = {};
    stats.size = sizeof(stats);
    return lode_stats_get(heap, &stats) == 0 ? stats.live_blocks : 0;
}

void standard_library()
{
    lode::heap below("standard");
    {
        lode::memory_resource resource(below.get());
        std::pmr::vector<int> numbers(&resource);
        for (int i = 0; i < 10000; i++)
            numbers.push_back(i);
        ok(numbers[9999] == 9999 && live_blocks(below.get()) == 1, "a pmr vector lies in its heap");
        lode::memory_resource again(below.get()), other(static_cast<struct lode_heap *>(nullptr));
        ok(resource == again && !(resource == other), "resources over one heap are equal");
    }
    ok(live_blocks(below.get()) == 0, "and gives it back");
    {
        using pair = std::pair<const std::string, int>;
        lode::allocator<pair> allocator(below.get());
        std::map<std::string, int, std::less<>, lode::allocator<pair>> ores(allocator);
        ores["coal"] = 1;
        ores["iron"] = 2;
        ok(ores.find("iron")->second == 2 && live_blocks(below.get()) == 2,
           "a map's nodes lie in the heap");
        auto moved = std::move(ores);
        ok(moved.size() == 2 && moved.get_allocator() == allocator, "moving takes the allocator");
        std::vector<double, lode::allocator<double>> lanes(allocator);
        lanes.resize(100);
        ok(live_blocks(below.get()) == 3, "an allocator is rebound");
    }
    ok(live_blocks(below.get()) == 0, "the map gives all back");
}

struct alignas(64) line {
    float lanes[16];
};

void alignment()
{
    lode::heap below;
    lode::memory_resource resource(below.get());
    std::pmr::vector<line> lines(5, &resource);
    ok(reinterpret_cast<std::uintptr_t>(lines.data()) % 64 == 0, "alignment over 16 is kept");
#if defined(__cpp_exceptions)
    bool thrown = false;
    try {
        (void)resource.allocate(SIZE_MAX / 2, 16);
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    ok(thrown, "what cannot be had is std::bad_alloc");
#endif
}

/* Where ASan's runtime is, a freed object is nobody's. */
extern "C" __attribute__((weak)) int __asan_address_is_poisoned(const volatile void *p);

bool closed(const void *p)
{
    return __asan_address_is_poisoned == nullptr || __asan_address_is_poisoned(p) != 0;
}

int creatures_alive;

struct alignas(32) creature {
    creature(std::string its_name, std::unique_ptr<int> its_age)
        : name(std::move(its_name)), age(std::move(its_age))
    {
#if defined(__cpp_exceptions)
        if (*age < 0)
            throw *age;
#endif
        creatures_alive++;
    }

    ~creature()
    {
        creatures_alive--;
    }

    std::string name;
    std::unique_ptr<int> age;
};

std::size_t live_objects(const struct lode_pool *pool)
{
    struct lode_pool_stats stats = {};
    stats.size = sizeof(stats);
    return lode_pool_stats_get(pool, &stats) == 0 ? stats.live : SIZE_MAX;
}

std::size_t live_objects(const struct lode_cpool *pool)
{
    struct lode_pool_stats stats = {};
    stats.size = sizeof(stats);
    return lode_cpool_stats_get(pool, &stats) == 0 ? stats.live : SIZE_MAX;
}

using creature_ptr = lode::pool_ptr<creature>;
static_assert(!std::is_copy_constructible_v<creature_ptr>);
static_assert(std::is_nothrow_move_constructible_v<creature_ptr>);
static_assert(sizeof(creature_ptr) == 2 * sizeof(void *));

void owned_objects(struct lode_pool *pool)
{
    creature *where;
    {
        creature_ptr wolf = lode::pool_make<creature>(pool, "wolf", std::make_unique<int>(3));
        where = wolf.get();
        ok(where != nullptr && wolf->name == "wolf" && *wolf->age == 3 &&
               reinterpret_cast<std::uintptr_t>(where) % alignof(creature) == 0,
           "a pooled object is constructed with arguments");
        creature_ptr moved = std::move(wolf), none;
        none = std::move(moved);
        ok(!wolf && !moved && none.get() == where && creatures_alive == 1 &&
               live_objects(pool) == 1,
           "its owner is moved, not copied");
        creature_ptr bear = lode::pool_make<creature>(pool, "bear", std::make_unique<int>(9));
        none.swap(bear);
        ok(bear.get() == where && creatures_alive == 2 && live_objects(pool) == 2,
           "owners change places");
        creature_ptr third = lode::pool_make<creature>(pool, "third", std::make_unique<int>(1));
        ok(!third && creatures_alive == 2 && third.get_deleter().pool() == pool,
           "a pool at its limit gives an empty owner");
        bear.reset();
        ok(creatures_alive == 1 && live_objects(pool) == 1 && closed(where),
           "a reset gives the object back");
        third = lode::pool_make<creature>(pool, "third", std::make_unique<int>(1));
        ok(third.get() == where, "whose memory is the next one's");
    }
    ok(creatures_alive == 0 && live_objects(pool) == 0 && closed(where),
       "the owner's end is the object's");
#if defined(__cpp_exceptions)
    int thrown = 0;
    try {
        (void)lode::pool_make<creature>(pool, "unborn", std::make_unique<int>(-5));
    } catch (int what) {
        thrown = what;
    }
    ok(thrown == -5 && creatures_alive == 0 && live_objects(pool) == 0 && closed(where),
       "a constructor that throws leaves no object");
#endif
}

void shared_objects(struct lode_cpool *pool)
{
    lode::heap counts("counts");
    std::shared_ptr<const creature> first =
        lode::pool_share(lode::pool_make<creature>(pool, "fox", std::make_unique<int>(2)),
                         lode::allocator<creature>(counts.get()));
    std::shared_ptr<const creature> second = first;
    ok(first->name == "fox" && live_objects(pool) == 1 && live_blocks(counts.get()) == 1,
       "what owners share counts in a heap");
    first.reset();
    ok(creatures_alive == 1, "while one of them is left, it lives");
    std::thread([last = std::move(second)]() mutable { last.reset(); }).join();
    ok(creatures_alive == 0 && live_objects(pool) == 0 && live_blocks(counts.get()) == 0,
       "the last one gives it back, in any thread");
    lode::pool_ptr<const int, struct lode_cpool> number = lode::pool_make<const int>(pool, 42);
    ok(*number == 42 && live_objects(pool) == 1, "a constant has an owner, too");
    number.reset();
    ok(lode::pool_share(std::move(number)) == nullptr, "nothing is shared as nothing");
}

void pooled_objects()
{
    struct lode_pool_opts opts = lode::pool_opts<creature>("creatures");
    struct lode_pool *pool;
    struct lode_cpool *cpool;
    opts.max = 2;
    if (lode_pool_create(&opts, &pool) != 0)
        return ok(false, "a pool");
    owned_objects(pool);
    lode_pool_destroy(pool);
    opts.max = 0;
    if (lode_cpool_create(&opts, &cpool) != 0)
        return ok(false, "a concurrent pool");
    shared_objects(cpool);
    lode_cpool_destroy(cpool);
}

void scopes()
{
    struct lode_arena *arena;
    if (lode_arena_create(nullptr, &arena) != 0)
        return ok(false, "an arena");
    char *first, *second;
    {
        lode::arena_scope scope(arena, "frame");
        first = static_cast<char *>(lode_arena_alloc(arena, 100, 16));
    }
    {
        lode::arena_scope scope(arena);
        second = static_cast<char *>(lode_arena_alloc(arena, 100, 16));
    }
    ok(first != nullptr && first == second, "an arena scope gives back what it took");
    while (lode_arena_mark(arena, "one more") != 0)
        continue;
    {
        lode::arena_scope one_too_many(arena);
        ok(!one_too_many, "an arena scope that has no mark says so");
    }
    lode_arena_reset(arena);
    ok(bool(lode::arena_scope(arena)), "and one that has");
    lode_arena_destroy(arena);

    ok(lode_tag_current() == 0, "no tag at first");
    {
        lode::tag_scope outer(7), inner(8);
        void *block = lode_malloc(10);
        struct lode_block_info info;
        ok(outer && inner && lode_block_find(block, &info) == 0 && info.tag == 8,
           "a tag scope tags malloc");
        lode_free(block);
    }
    ok(lode_tag_current() == 0, "and ends");
}

void pins(lode_handle brick)
{
    {
        lode::pin<std::uint16_t> voxels(brick);
        voxels[0] = 42;
        lode::pin<std::uint16_t> moved(std::move(voxels));
        ok(!voxels && moved && lode_handle_pins(brick) == 1, "a pin is moved, not copied");
        lode::pin<std::uint16_t> other;
        other = std::move(moved);
        ok(other[0] == 42 && lode_handle_pins(brick) == 1, "also by assignment");
    }
    ok(lode_handle_pins(brick) == 0, "and ends");
    lode::read_section section;
    ok(section && lode_peek(brick) != nullptr, "a reading section");
}

/* More owners of one brick than it can have pins. */
void many_owners(lode_handle brick)
{
    static char owners[LODE_PINS_MAX + 90];
    struct lode_allocator below;
    lode_heap_allocator(nullptr, &below);
    lode::gc_bridge roots(below);
    for (char &owner : owners)
        roots.add_root(brick, &owner);
    ok(roots.begin() == 0 && roots.size() == sizeof(owners), "no root of a live brick is dropped");
    std::size_t seen = 0;
    roots.each([&](void *, lode_handle, void *block) { seen += block == lode_peek(brick); });
    ok(seen == sizeof(owners) && lode_handle_pins(brick) == LODE_PINS_MAX, "all see its block");
    bool removed = true;
    for (char &owner : owners)
        if (&owner != &owners[sizeof(owners) - 1]) {
            removed &= roots.remove_root(brick, &owner);
            removed &= lode_handle_pins(brick) >= 1;
        }
    ok(removed && lode_handle_pins(brick) == 1, "the last owner has the last pin");
    roots.end();
    ok(lode_handle_pins(brick) == 0 && roots.size() == 1, "which ends");
    for (int i = 0; i < LODE_PINS_MAX; i++)
        (void)lode_pin(brick);
    ok(roots.begin() == 0 && roots.size() == 1, "nor is one whose pins others have");
    roots.end();
    for (int i = 0; i < LODE_PINS_MAX; i++)
        (void)lode_unpin(brick);
}

/* `brick` holds 42 first, and is freed here. */
void collections(struct lode_sdf *field, lode_handle brick)
{
    struct lode_allocator below;
    lode_heap_allocator(nullptr, &below);
    int owner_a, owner_b;
    lode::gc_bridge roots(below);
    roots.add_root(brick, &owner_a);
    roots.add_root(brick, &owner_b);
    ok(roots.begin() == 0 && lode_handle_pins(brick) == 2, "a collection pins every root");
    std::size_t seen = 0;
    roots.each([&](void *owner, lode_handle handle, void *block) {
        seen += (owner == &owner_a || owner == &owner_b) && handle == brick && block != nullptr;
    });
    ok(seen == 2, "and sees them");
    const void *held = lode_peek(brick);
    ok(lode_sdf_brick_free(field, brick) == 0 && *static_cast<const std::uint16_t *>(held) == 42,
       "what is freed meanwhile stays until its end");
    ok(roots.remove_root(brick, &owner_b) && !roots.remove_root(brick, &owner_b),
       "a root is removed once");
    roots.end();
    ok(roots.size() == 1 && roots.begin() == 1 && roots.size() == 0, "a stale root is dropped");
    struct lode_read_stats left;
    lode_read_stats(&left);
    ok(left.parked_blocks == 0, "and no block is held any more");
}

void handles()
{
    struct lode_sdf *field;
    lode_handle brick;
    if (lode_sdf_create(nullptr, &field) != 0 ||
        lode_sdf_brick_alloc(field, 0, {1, 2, 3}, LODE_TIER_HIGH, &brick) != 0)
        return ok(false, "a brick");
    pins(brick);
    many_owners(brick);
    collections(field, brick);
    lode_sdf_destroy(field);
}

/* Unreal's interfaces, as far as the adapter is concerned. */
struct stub_stats {
    std::map<std::string, std::size_t> values;
    void Add(const char *name, std::size_t value)
    {
        values[name] = value;
    }
};

class stub_malloc
{
  public:
    virtual ~stub_malloc() = default;
    virtual void *Malloc(std::size_t bytes, std::uint32_t align = 0) = 0;
    virtual void *TryMalloc(std::size_t bytes, std::uint32_t align = 0) = 0;
    virtual void *Realloc(void *block, std::size_t bytes, std::uint32_t align = 0) = 0;
    virtual void *TryRealloc(void *block, std::size_t bytes, std::uint32_t align = 0) = 0;
    virtual void Free(void *block) = 0;
    virtual std::size_t QuantizeSize(std::size_t bytes, std::uint32_t align) = 0;
    virtual bool GetAllocationSize(void *block, std::size_t &ret_bytes) = 0;
    virtual void Trim(bool threads_too) = 0;
    virtual void SetupTLSCachesOnCurrentThread() = 0;
    virtual void ClearAndDisableTLSCachesOnCurrentThread() = 0;
    virtual void GetAllocatorStats(stub_stats &ret_stats) = 0;
    virtual bool IsInternallyThreadSafe() const = 0;
    virtual const char16_t *GetDescriptiveName() = 0;
};

std::uint64_t failed_bytes;

void out_of_memory(std::uint64_t bytes, std::uint32_t)
{
    failed_bytes = bytes;
}

void unreal()
{
    lode::unreal_malloc<stub_malloc, stub_stats, char16_t> adapter(u"Lode", out_of_memory);
    stub_malloc &malloc = adapter;
    std::size_t bytes = 0;
    char *block = static_cast<char *>(malloc.Malloc(100));
    ok(block != nullptr && malloc.GetAllocationSize(block, bytes) && bytes >= 100 &&
           bytes == malloc.QuantizeSize(100, 0),
       "FMalloc: sizes are as they were said to be");
    ok(malloc.QuantizeSize(SIZE_MAX, 4096) == 0, "FMalloc: no size is no size when rounded up");
    std::memset(block, 5, 100);
    block = static_cast<char *>(malloc.Realloc(block, 5000, 64));
    ok(reinterpret_cast<std::uintptr_t>(block) % 64 == 0 && block[99] == 5,
       "FMalloc: Realloc keeps contents and aligns");
    ok(malloc.Realloc(block, 0) == nullptr, "FMalloc: Realloc to nothing frees");
    int on_stack = 0;
    ok(!malloc.GetAllocationSize(&on_stack, bytes), "FMalloc: a foreign block has no size");
    ok(malloc.Malloc(SIZE_MAX / 2) == nullptr && failed_bytes == SIZE_MAX / 2,
       "FMalloc: out of memory is reported");
    stub_stats stats;
    malloc.GetAllocatorStats(stats);
    ok(stats.values.count("Lode.mapped_bytes") == 1 && stats.values["Lode.mapped_bytes"] > 0,
       "FMalloc: figures");
    malloc.Trim(true);
    malloc.SetupTLSCachesOnCurrentThread();
    malloc.ClearAndDisableTLSCachesOnCurrentThread();
    ok(malloc.IsInternallyThreadSafe() && std::u16string(malloc.GetDescriptiveName()) == u"Lode",
       "FMalloc: name and threads");
    {
        lode::tag_scope llm(31);
        void *tagged = malloc.Malloc(64);
        struct lode_block_info info;
        ok(lode_block_find(tagged, &info) == 0 && info.tag == 31,
           "a memory tracker's tag is a tag of ours");
        malloc.Free(tagged);
    }
}

} // namespace

int main()
{
    standard_library();
    alignment();
    pooled_objects();
    scopes();
    handles();
    unreal();
    std::printf("1..%d\n", points);
    return faults != 0;
}
