/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool.h"

#include <assert.h>

void pool_init(struct pool *pool, void *arena, unsigned slice_count)
{
    assert(slice_count <= POOL_SLICES_MAX);
    pool->arena = arena;
    pool->slice_count = slice_count;
    pool->free_count = slice_count;
    for (unsigned i = 0; i < slice_count; i++)
        pool->free_list[i] = (uint16_t)(slice_count - 1 - i);
}

uint8_t *pool_take(struct pool *pool)
{
    if (pool->free_count == 0)
        return NULL;
    return pool->arena + (size_t)pool->free_list[--pool->free_count] * POOL_SLICE_BYTES;
}

void pool_give(struct pool *pool, uint8_t *slice)
{
    size_t offset = (size_t)(slice - pool->arena);
    assert(offset % POOL_SLICE_BYTES == 0 && offset / POOL_SLICE_BYTES < pool->slice_count);
    assert(pool->free_count < pool->slice_count);
    pool->free_list[pool->free_count++] = (uint16_t)(offset / POOL_SLICE_BYTES);
}
