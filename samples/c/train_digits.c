/* Train the network of samples/digits.py from C, with nothing but the shared object.
 *
 *     python samples/c/prepare.py build
 *     cc -std=c11 -O2 -Wall -Wextra -pedantic -Ibuild samples/c/train_digits.c build/digits.so \
 *         -Wl,-rpath,'$ORIGIN' -o build/train_digits
 *     build/train_digits build/digits.u8 [epochs]
 */
#include <stdio.h>
#include <stdlib.h>

#include "digits.h"

enum { PIXELS = 64, IMAGES = 1797, TEST_EVERY = 5, BATCH = 32, SEED = 0 };
static const float LEARNING_RATE = 0.01f;

/* Images as the network takes them. */
typedef struct {
    int64_t rows;
    float x[IMAGES][PIXELS];
    int32_t y[IMAGES];
} Images;

static Images training, test;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void check(const char *what, int32_t code)
{
    if (code != DIGITS_OK)
        fail(what, digits_error(code));
}

/* Memory as digits.h wants it; the library itself never allocates. */
static void *aligned(size_t bytes)
{
    void *memory = aligned_alloc(DIGITS_ALIGN, (bytes + DIGITS_ALIGN - 1) / DIGITS_ALIGN * DIGITS_ALIGN);
    if (memory == NULL)
        fail("memory", "there is not enough");
    return memory;
}

/* Read digits.u8, whose records are 64 pixels and a label; every fifth image is for the test. */
static void read_images(const char *path)
{
    unsigned char record[PIXELS + 1];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail(path, "can't be opened");
    for (int i = 0; i < IMAGES; i++) {
        Images *images = i % TEST_EVERY == 0 ? &test : &training;
        if (fread(record, sizeof record, 1, file) != 1)
            fail(path, "is too short");
        for (int j = 0; j < PIXELS; j++)
            images->x[images->rows][j] = record[j] / 16.0f;
        images->y[images->rows++] = record[PIXELS];
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3)
        fail("usage", "train_digits digits.u8 [epochs]");
    read_images(argv[1]);
    int epochs = argc == 3 ? atoi(argv[2]) : 10;

    size_t epoch_bytes = digits_train_step_epoch_workspace_bytes(training.rows, BATCH);
    size_t test_bytes = digits_evaluate_workspace_bytes(test.rows);
    size_t bytes = epoch_bytes > test_bytes ? epoch_bytes : test_bytes;
    void *state = aligned(DIGITS_STATE_BYTES), *workspace = aligned(bytes);
    float loss, accuracy;

    check("init", digits_init(state, SEED));
    for (int epoch = 0; epoch < epochs; epoch++) {
        int64_t batches = (training.rows + BATCH - 1) / BATCH;
        float rate = LEARNING_RATE * (1.0f - (float)epoch / (float)epochs);
        check("learning rate", digits_import(state, "adam/learning_rate", &rate, sizeof rate));
        check("train", digits_train_step_epoch(state, workspace, bytes, training.x[0], training.y, &loss,
                                               training.rows, BATCH, (uint64_t)epoch, 0, batches));
        check("test", digits_evaluate(state, workspace, bytes, test.rows, test.x[0], test.y, NULL, &accuracy));
        printf("epoch %2d   loss %.4f   test accuracy %.2f%%\n", epoch + 1, loss, 100 * accuracy);
    }
    free(workspace);
    free(state);
    return EXIT_SUCCESS;
}
