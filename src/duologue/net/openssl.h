/* The OpenSSL that the interpreter's own ssl module uses, called without the module in between.
 *
 * Nothing is linked: the functions are looked up in the library that _ssl has loaded, and the SSL
 * that an ssl.SSLObject holds is read out of the object. Its place there is not promised by anybody,
 * so each object is checked by what is known of its neighbours; where anything is not as expected
 * the caller goes through the object's methods instead.
 *
 * Octets pass through a channel: records to read are where they were received, borrowed; records to
 * send gather in memory that goes when they are sent. Its callbacks need no interpreter lock.
 */
#ifndef DUOLOGUE_OPENSSL_H
#define DUOLOGUE_OPENSSL_H

#include <Python.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *in;
    size_t in_size;
    uint8_t *out;
    size_t out_size;
    size_t out_room;
    int holders; /* the BIO, and our side */
} duologue_channel;

#define DUOLOGUE_BIO_SOURCE_SINK 0x0400
#define DUOLOGUE_BIO_FLUSH 11
#define DUOLOGUE_BIO_RETRY_FLAGS 0x0f
#define DUOLOGUE_BIO_RETRY_READ 0x09
#define DUOLOGUE_SSL_READING 3
#define DUOLOGUE_SSL_RECEIVED_SHUTDOWN 2

static struct {
    void *(*BIO_meth_new)(int, const char *);
    int (*BIO_meth_set_read)(void *, int (*)(void *, char *, int));
    int (*BIO_meth_set_write)(void *, int (*)(void *, const char *, int));
    int (*BIO_meth_set_ctrl)(void *, long (*)(void *, int, long, void *));
    int (*BIO_meth_set_destroy)(void *, int (*)(void *));
    int (*BIO_get_new_index)(void);
    void *(*BIO_new)(const void *);
    void (*BIO_set_data)(void *, void *);
    void *(*BIO_get_data)(void *);
    void (*BIO_set_init)(void *, int);
    void (*BIO_set_flags)(void *, int);
    void (*BIO_clear_flags)(void *, int);
    void (*ERR_clear_error)(void);
    void *(*SSL_get_rbio)(const void *);
    void (*SSL_set_bio)(void *, void *, void *);
    int (*SSL_want)(const void *);
    int (*SSL_get_shutdown)(const void *);
    int (*SSL_in_init)(const void *);
    int (*SSL_read)(void *, void *, int);
    int (*SSL_write)(void *, const void *, int);
    int (*SSL_shutdown)(void *);
    void *method;
} duologue_openssl;

static void duologue_channel_leave(duologue_channel *channel)
{
    if (--channel->holders == 0) {
        free(channel->out);
        free(channel);
    }
}

static int duologue_channel_read(void *bio, char *place, int size)
{
    duologue_channel *channel = duologue_openssl.BIO_get_data(bio);
    size_t count = size < 0 ? 0 : (size_t)size;

    duologue_openssl.BIO_clear_flags(bio, DUOLOGUE_BIO_RETRY_FLAGS);
    if (channel->in_size == 0) {
        duologue_openssl.BIO_set_flags(bio, DUOLOGUE_BIO_RETRY_READ);
        return -1;
    }
    if (count > channel->in_size)
        count = channel->in_size;
    memcpy(place, channel->in, count);
    channel->in += count;
    channel->in_size -= count;
    return (int)count;
}

static int duologue_channel_write(void *bio, const char *octets, int size)
{
    duologue_channel *channel = duologue_openssl.BIO_get_data(bio);
    size_t need, room;
    uint8_t *larger;

    duologue_openssl.BIO_clear_flags(bio, DUOLOGUE_BIO_RETRY_FLAGS);
    if (size <= 0)
        return 0;
    need = channel->out_size + (size_t)size;
    if (need > channel->out_room) {
        room = channel->out_room * 2;
        if (room < need)
            room = need;
        larger = realloc(channel->out, room);
        if (larger == NULL)
            return -1;
        channel->out = larger;
        channel->out_room = room;
    }
    memcpy(channel->out + channel->out_size, octets, (size_t)size);
    channel->out_size = need;
    return size;
}

static long duologue_channel_control(void *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == DUOLOGUE_BIO_FLUSH;
}

static int duologue_channel_destroy(void *bio)
{
    duologue_channel *channel = duologue_openssl.BIO_get_data(bio);

    if (channel != NULL)
        duologue_channel_leave(channel);
    return 1;
}

/* Look everything up in what the module at path has loaded; 0 if something is missing. */
static int duologue_openssl_load(const char *path)
{
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    void *method;

    if (library == NULL)
        return 0;
#define DUOLOGUE_FIND(name)                                            \
    *(void **)&duologue_openssl.name = dlsym(library, #name);          \
    if (duologue_openssl.name == NULL)                                 \
        return 0;
    DUOLOGUE_FIND(BIO_meth_new)
    DUOLOGUE_FIND(BIO_meth_set_read)
    DUOLOGUE_FIND(BIO_meth_set_write)
    DUOLOGUE_FIND(BIO_meth_set_ctrl)
    DUOLOGUE_FIND(BIO_meth_set_destroy)
    DUOLOGUE_FIND(BIO_get_new_index)
    DUOLOGUE_FIND(BIO_new)
    DUOLOGUE_FIND(BIO_set_data)
    DUOLOGUE_FIND(BIO_get_data)
    DUOLOGUE_FIND(BIO_set_init)
    DUOLOGUE_FIND(BIO_set_flags)
    DUOLOGUE_FIND(BIO_clear_flags)
    DUOLOGUE_FIND(ERR_clear_error)
    DUOLOGUE_FIND(SSL_get_rbio)
    DUOLOGUE_FIND(SSL_set_bio)
    DUOLOGUE_FIND(SSL_want)
    DUOLOGUE_FIND(SSL_get_shutdown)
    DUOLOGUE_FIND(SSL_in_init)
    DUOLOGUE_FIND(SSL_read)
    DUOLOGUE_FIND(SSL_write)
    DUOLOGUE_FIND(SSL_shutdown)
#undef DUOLOGUE_FIND
    method = duologue_openssl.BIO_meth_new(
        duologue_openssl.BIO_get_new_index() | DUOLOGUE_BIO_SOURCE_SINK, "duologue");
    if (method == NULL)
        return 0;
    duologue_openssl.BIO_meth_set_read(method, duologue_channel_read);
    duologue_openssl.BIO_meth_set_write(method, duologue_channel_write);
    duologue_openssl.BIO_meth_set_ctrl(method, duologue_channel_control);
    duologue_openssl.BIO_meth_set_destroy(method, duologue_channel_destroy);
    duologue_openssl.method = method;
    return 1;
}

/* The SSL of an _ssl._SSLSocket that reads from a MemoryBIO; NULL if it doesn't look like one.
 *
 * After the object's head stand a weak reference to a socket (none here), the SSL and the context;
 * after that of a MemoryBIO its BIO, which must be what the SSL reads from.
 */
static void *duologue_ssl_of(PyObject *object, PyObject *incoming, PyObject *context)
{
    void **fields = (void **)((char *)object + sizeof(PyObject));
    void **bio = (void **)((char *)incoming + sizeof(PyObject));

    if (Py_TYPE(object)->tp_basicsize < (Py_ssize_t)(sizeof(PyObject) + 3 * sizeof(void *)))
        return NULL;
    if (Py_TYPE(incoming)->tp_basicsize < (Py_ssize_t)(sizeof(PyObject) + sizeof(void *)))
        return NULL;
    if (fields[0] != NULL || fields[1] == NULL || fields[2] != (void *)context || *bio == NULL)
        return NULL;
    return duologue_openssl.SSL_get_rbio(fields[1]) == *bio ? fields[1] : NULL;
}

/* Let the SSL read and write through a new channel; NULL if there is no memory. */
static duologue_channel *duologue_channel_open(void *ssl)
{
    duologue_channel *channel = calloc(1, sizeof(duologue_channel));
    void *bio;

    if (channel == NULL)
        return NULL;
    bio = duologue_openssl.BIO_new(duologue_openssl.method);
    if (bio == NULL) {
        free(channel);
        return NULL;
    }
    channel->holders = 2;
    duologue_openssl.BIO_set_data(bio, channel);
    duologue_openssl.BIO_set_init(bio, 1);
    duologue_openssl.SSL_set_bio(ssl, bio, bio);
    return channel;
}

/* Each returns a count of octets, 0 at the peer's end, -1 to wait for octets, -2 for a fault.
 *
 * SSL_get_error would tell the same, but only with the thread's error queue emptied before each
 * call, which takes longer than all the rest of ours. The SSL itself knows whether it waits, and
 * after a fault it is back in a handshake that it never leaves.
 */
static int duologue_ssl_outcome(void *ssl, int result)
{
    if (result > 0)
        return result;
    if (duologue_openssl.SSL_want(ssl) == DUOLOGUE_SSL_READING)
        return -1;
    if (!duologue_openssl.SSL_in_init(ssl)
        && duologue_openssl.SSL_get_shutdown(ssl) & DUOLOGUE_SSL_RECEIVED_SHUTDOWN)
        return 0;
    return -2;
}

static int duologue_ssl_read(void *ssl, uint8_t *place, int size)
{
    return duologue_ssl_outcome(ssl, duologue_openssl.SSL_read(ssl, place, size));
}

static int duologue_ssl_write(void *ssl, const uint8_t *octets, int size)
{
    return duologue_ssl_outcome(ssl, duologue_openssl.SSL_write(ssl, octets, size));
}

static void duologue_ssl_shut(void *ssl)
{
    duologue_openssl.SSL_shutdown(ssl);
    duologue_openssl.ERR_clear_error();
}

#endif
