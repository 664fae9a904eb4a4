/*
 * Runs a fuzz target over files and directories of seeds, each input once, where libFuzzer is not
 * to be had. It stands in for libFuzzer's own main().
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");

    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(data, 1, sizeof(data), file);

    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

static int replay(const char *path)
{
    DIR *directory = opendir(path);
    int failures = 0;

    if (!directory)
        return replay_file(path);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char inner[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        failures += replay_file(inner);
    }
    closedir(directory);
    return failures;
}

int main(int argc, char **argv)
{
    int failures = 0;

    for (int i = 1; i < argc; i++)
        failures += replay(argv[i]);
    printf("replayed %d path(s), %d could not be read\n", argc - 1, failures);
    return failures != 0;
}
