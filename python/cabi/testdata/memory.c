// Exercises the memory of abi.h under the address sanitizer: exports, children that are moved away, exports nobody takes.

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../arrow.c"

static void *get(void *capsule, const char *name) { return name ? *(void **)capsule : NULL; }

static void *export(void *arg) {
	void *body = arg;
	veilsum_column c[3] = {{"w", "meta", 4, 0, 5, 4}, {"", NULL, 0, 64, 1, 8}, {"long name", "x", 1, 128, 1, 4}};
	for (int i = 0; i < 2000; i++) {
		void *s, *a;
		assert(veilsum_structs(&s, &a) == 0);
		assert(veilsum_arrow(body, c, 3, i % 2 ? "metadata" : NULL, i % 2 ? 8 : 0, s, a) == 0);
		struct ArrowArray *array = a;
		assert(array->n_children == 3 && array->children[0]->children[0]->length == 5);
		struct ArrowArray child = {0};
		if (i % 3 == 0) { // as a consumer moves it
			child = *array->children[0];
			array->children[0]->release = NULL;
		}
		struct ArrowSchema type = *((struct ArrowSchema *)s)->children[0]->children[0];
		((struct ArrowSchema *)s)->children[0]->children[0]->release = NULL;
		veilsum_end_array(&a);
		veilsum_end_schema(&s);
		if (child.release) {
			const float *values = child.children[0]->buffers[1];
			assert(values[4] == 4);
			child.release(&child);
			assert(!child.release);
		}
		assert(strcmp(type.format, "f") == 0 && strcmp(type.name, "item") == 0);
		type.release(&type);
	}
	return NULL;
}

int main(void) {
	veilsum_capsules(get);
	float *body = veilsum_alloc(192);
	assert(body && (size_t)body % 64 == 0 && body[47] == 0);
	for (int i = 0; i < 5; i++) body[i] = i;
	assert(!veilsum_alloc(-1) && !veilsum_alloc(INT64_MAX));
	struct ArrowSchema s;
	struct ArrowArray a;
	veilsum_column none;
	assert(veilsum_arrow(body, &none, 0, NULL, 0, &s, &a) == -1);
	veilsum_column bad[] = {{"w", "meta", -1, 0, 5, 4}, {"w", NULL, INT64_MAX, 0, 5, 4}, {NULL, NULL, 0, 0, 5, 4},
		{"w", NULL, 0, -64, 5, 4}, {"w", NULL, 0, 0, -5, 4}, {"w", NULL, 0, INT64_MAX, 5, 8}, {"w", NULL, 0, 0, INT64_MAX, 8}, {"w", NULL, 0, 0, 5, 3}, {"w", NULL, 0, 0, 5, -1}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert(veilsum_arrow(body, &bad[i], 1, NULL, 0, &s, &a) == -1);
	assert(veilsum_arrow(body, bad, 1, "m", -1, &s, &a) == -1);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) assert(pthread_create(&threads[i], NULL, export, body) == 0);
	for (int i = 0; i < 4; i++) assert(pthread_join(threads[i], NULL) == 0);
	assert(header_of(body)->references == 1); // what every export took, it gave back
	veilsum_free(body);
	veilsum_free(veilsum_alloc(0));
	veilsum_free(NULL);
	puts("ok");
	return 0;
}
