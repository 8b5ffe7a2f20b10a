/* The zlib-ng inside the zlib_ng package, called without the package's objects in between.
 *
 * Nothing is linked: the functions are looked up in the library that the package has loaded, which
 * exports them. They are zlib-ng's own public interface (zlib-ng.h, version 2), and so is zng_stream.
 * Where a build hides them the caller goes through the package's objects instead.
 *
 * Memory comes from Python's raw allocator, so that it is seen by tracemalloc.
 */
#ifndef DUOLOGUE_ZLIB_NG_H
#define DUOLOGUE_ZLIB_NG_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#ifndef _WIN32
#include <dlfcn.h>
#endif

typedef struct {
    const uint8_t *next_in;
    uint32_t avail_in;
    size_t total_in;
    uint8_t *next_out;
    uint32_t avail_out;
    size_t total_out;
    const char *msg;
    void *state;
    void *(*zalloc)(void *, unsigned int, unsigned int);
    void (*zfree)(void *, void *);
    void *opaque;
    int data_type;
    uint32_t adler;
    unsigned long reserved;
} duologue_zstream;

static struct {
    const char *(*version)(void);
    int (*deflateInit2)(duologue_zstream *, int, int, int, int, int);
    int (*deflateReset)(duologue_zstream *);
    int (*deflateSetDictionary)(duologue_zstream *, const uint8_t *, uint32_t);
    int (*deflate)(duologue_zstream *, int);
    int (*deflateEnd)(duologue_zstream *);
    int (*inflateInit2)(duologue_zstream *, int);
    int (*inflateSetDictionary)(duologue_zstream *, const uint8_t *, uint32_t);
    int (*inflate)(duologue_zstream *, int);
    int (*inflateEnd)(duologue_zstream *);
} duologue_zlib;

static void *duologue_zalloc(void *opaque, unsigned int items, unsigned int size)
{
    (void)opaque;
    return size && items > (size_t)-1 / size ? NULL : PyMem_RawMalloc((size_t)items * size);
}

static void duologue_zfree(void *opaque, void *memory)
{
    (void)opaque;
    PyMem_RawFree(memory);
}

/* Look everything up in what the module at path has loaded; 0 if something is missing. */
static int duologue_zlib_load(const char *path)
{
#ifdef _WIN32
    (void)path;
    return 0;
#else
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);

    if (library == NULL)
        return 0;
#define DUOLOGUE_FIND(field, name)                          \
    *(void **)&duologue_zlib.field = dlsym(library, name);  \
    if (duologue_zlib.field == NULL)                        \
        return 0;
    DUOLOGUE_FIND(version, "zlibng_version")
    DUOLOGUE_FIND(deflateInit2, "zng_deflateInit2")
    DUOLOGUE_FIND(deflateReset, "zng_deflateReset")
    DUOLOGUE_FIND(deflateSetDictionary, "zng_deflateSetDictionary")
    DUOLOGUE_FIND(deflate, "zng_deflate")
    DUOLOGUE_FIND(deflateEnd, "zng_deflateEnd")
    DUOLOGUE_FIND(inflateInit2, "zng_inflateInit2")
    DUOLOGUE_FIND(inflateSetDictionary, "zng_inflateSetDictionary")
    DUOLOGUE_FIND(inflate, "zng_inflate")
    DUOLOGUE_FIND(inflateEnd, "zng_inflateEnd")
#undef DUOLOGUE_FIND
    return duologue_zlib.version()[0] == '2' && duologue_zlib.version()[1] == '.';
#endif
}

static void duologue_zstream_clear(duologue_zstream *stream)
{
    *stream = (duologue_zstream){0};
    stream->zalloc = duologue_zalloc;
    stream->zfree = duologue_zfree;
}

static int duologue_deflate_begin(duologue_zstream *stream, int level, int window_bits,
                                  int memory_level, int strategy)
{
    duologue_zstream_clear(stream);
    return duologue_zlib.deflateInit2(stream, level, 8, -window_bits, memory_level, strategy);
}

static int duologue_deflate_restart(duologue_zstream *stream)
{
    return duologue_zlib.deflateReset(stream);
}

static int duologue_deflate_prime(duologue_zstream *stream, const uint8_t *past, uint32_t size)
{
    return duologue_zlib.deflateSetDictionary(stream, past, size);
}

static int duologue_deflate(duologue_zstream *stream, int flush)
{
    return duologue_zlib.deflate(stream, flush);
}

static void duologue_deflate_end(duologue_zstream *stream)
{
    duologue_zlib.deflateEnd(stream);
}

static int duologue_inflate_begin(duologue_zstream *stream)
{
    duologue_zstream_clear(stream);
    return duologue_zlib.inflateInit2(stream, -15);
}

static int duologue_inflate_prime(duologue_zstream *stream, const uint8_t *past, uint32_t size)
{
    return duologue_zlib.inflateSetDictionary(stream, past, size);
}

static int duologue_inflate(duologue_zstream *stream)
{
    return duologue_zlib.inflate(stream, 2); /* Z_SYNC_FLUSH */
}

static void duologue_inflate_end(duologue_zstream *stream)
{
    duologue_zlib.inflateEnd(stream);
}

#endif
