/*
 * Whether a file is what was announced: its size and its checksum.
 *
 * The checksum is computed while bytes arrive. Those that an earlier attempt left on the disk are
 * read for it, some with each chunk that is written and the rest at the end.
 */
#include "stages/writer_disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE 131072

static bool begin_digest(struct disk_file *file)
{
    if (!file->digest || file->context)
        return true;
    file->context = atomic_exchange(&file->root->context, NULL);
    if (!file->context)
        file->context = EVP_MD_CTX_new();
    if (file->context && EVP_DigestInit_ex2(file->context, file->digest, NULL) == 1)
        return true;
    return error_set(&file->err, ERROR_TEMPORARY, "compute the checksum of '%s': no memory",
                     file->name.name);
}

bool disk_hash(struct disk_file *file)
{
    if (!begin_digest(file))
        return false;
    if (file->context && file->hashed_bytes == file->size_bytes) {
        EVP_DigestUpdate(file->context, file->bytes, file->length);
        file->hashed_bytes += (int64_t)file->length;
    }
    file->size_bytes += (int64_t)file->length;
    return true;
}

bool disk_hash_piece(struct disk_file *file, int fd, int64_t most, int64_t end)
{
    char *buffer;
    ssize_t got = 1;

    if (!begin_digest(file))
        return false;
    buffer = memory_resize(NULL, READ_SIZE, 1);
    if (end > file->hashed_bytes + most)
        end = file->hashed_bytes + most;
    while (got > 0 && file->hashed_bytes < end) {
        int64_t left = end - file->hashed_bytes;

        got = pread(fd, buffer, left < READ_SIZE ? (size_t)left : READ_SIZE, file->hashed_bytes);
        if (got > 0)
            EVP_DigestUpdate(file->context, buffer, (size_t)got);
        file->hashed_bytes += got > 0 ? got : 0;
        if (got < 0 && errno == EINTR)
            got = 1;
    }
    free(buffer);
    if (got == 0)
        errno = EIO; /* it became shorter */
    return got > 0;
}

bool disk_is_behind(const struct disk_file *file)
{
    return file->digest && !file->err.kind && file->hashed_bytes < file->size_bytes;
}

void disk_hash_behind(struct disk_file *file, int64_t most)
{
    if (disk_is_behind(file) && !disk_hash_piece(file, file->fd, most, file->size_bytes)
        && !file->err.kind)
        disk_failed(file, "read again what was kept of");
}

void disk_print_digest(struct disk_file *file, char text[DISK_DIGEST_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    *text = '\0';
    if (file->context && EVP_DigestFinal_ex(file->context, digest, &length) == 1)
        EVP_EncodeBlock((unsigned char *)text, digest, (int)length);
    EVP_MD_CTX_free(atomic_exchange(&file->root->context, file->context));
    file->context = NULL;
}

static bool is_as_announced(const struct disk_file *file, const char *digest)
{
    if (file->announced_size_bytes > 0 && file->announced_size_bytes != file->size_bytes)
        return file->settings->accept_wrong_size;
    return !file->compared || !file->digest || strcmp(file->value, digest) == 0;
}

bool disk_verify(struct disk_file *file, const char *digest)
{
    snprintf(file->fingerprint, sizeof(file->fingerprint), "%" PRId64 ":%s", file->size_bytes,
             digest);
    if (is_as_announced(file, digest))
        return true;
    file->changed = file->accept && strcmp(file->accept, file->fingerprint) == 0;
    if (file->changed && file->settings->mismatch == WRITER_MISMATCH_PLACE)
        return true;
    file->outcome = WRITER_MISMATCH;
    return error_set(&file->err, ERROR_TEMPORARY, "'%s/%s%s%s' is not what was announced (%s %s)",
                     file->root->name, file->name.directory, *file->name.directory ? "/" : "",
                     file->name.name, file->changed ? "received again" : "received",
                     file->fingerprint);
}
