/* The compiled part of mesh.batch.native, as Python calls it. twin.py says what each function does, and does the same.
 *
 * Strategy: what is judged lies in _records.h and knows no Python; here buffers are borrowed, verdicts become values,
 * and the interpreter lock is given back where much is to be read. Built against the stable ABI, so that one build
 * serves every Python from 3.11 on. Written for GCC and Clang (__builtin_*); with another compiler the twin is used.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "_records.h"

/* From here on a step gives the interpreter lock back. Less is read in the time that taking it again may cost. */
#define LONG_BYTES ((size_t)256 * 1024)

static PyThreadState *unlock_for(size_t bytes) {
    return bytes >= LONG_BYTES ? PyEval_SaveThread() : NULL;
}

static void lock_again(PyThreadState *unlocked) {
    if (unlocked)
        PyEval_RestoreThread(unlocked);
}

struct state {
    PyTypeObject *stretch, *admitted;
};

static struct bytes bytes_of(const Py_buffer *buffer) {
    const uint8_t *at = buffer->buf ? buffer->buf : (const uint8_t *)"";
    return (struct bytes){at, at + buffer->len};
}

/* A named tuple of the class that begins with these numbers; the caller sets what is beyond them. */
static PyObject *named_tuple(PyTypeObject *class, Py_ssize_t size, const int64_t *numbers, Py_ssize_t count) {
    PyObject *tuple = PyType_GenericAlloc(class, size);
    for (Py_ssize_t n = 0; tuple && n < count; n++) {
        PyObject *number = PyLong_FromLongLong(numbers[n]);
        if (!number || PyTuple_SetItem(tuple, n, number) < 0)
            Py_CLEAR(tuple);
    }
    return tuple;
}

/* --- stretch */

struct wanted {
    int64_t stable, max_bytes;
    bool transactional;
};

struct stretch {
    int64_t size_bytes, records, next_offset, latest_ms, leader_epoch;
};

static bool follows(const struct batch *batch, const struct stretch *taken, const struct wanted *wanted) {
    int64_t next, size = (int64_t)batch->size;
    if (batch->base_offset != taken->next_offset || (batch->attributes & TRANSACTIONAL_BIT && !wanted->transactional))
        return false;
    if (__builtin_add_overflow(batch->base_offset, batch->count, &next) || next > wanted->stable)
        return false;
    return !taken->size_bytes || taken->size_bytes + size <= wanted->max_bytes;
}

static void fill(struct stretch *taken, struct bytes data, const struct wanted *wanted) {
    struct batch batch;
    while (read_batch(data, &batch) && follows(&batch, taken, wanted) && has_right_crc(&batch)) {
        data.at += batch.size;
        taken->size_bytes += (int64_t)batch.size;
        taken->records += batch.count;
        taken->next_offset += batch.count;
        taken->latest_ms = batch.max_timestamp_ms > taken->latest_ms ? batch.max_timestamp_ms : taken->latest_ms;
        taken->leader_epoch = batch.leader_epoch;
    }
}

static PyObject *native_stretch(PyObject *module, PyObject *arguments) {
    Py_buffer buffer;
    Py_ssize_t at;
    long long position, stable, max_bytes;
    int transactional;
    if (!PyArg_ParseTuple(arguments, "y*nLLLp", &buffer, &at, &position, &stable, &max_bytes, &transactional))
        return NULL;
    struct stretch taken = {.next_offset = position, .latest_ms = -1, .leader_epoch = -1};
    struct wanted wanted = {stable, max_bytes, transactional};
    struct bytes data = bytes_of(&buffer);
    if (at >= 0 && at <= buffer.len) {
        data.at += at;
        PyThreadState *unlocked = unlock_for(left(&data));
        fill(&taken, data, &wanted);
        lock_again(unlocked);
    }
    PyBuffer_Release(&buffer);
    struct state *state = PyModule_GetState(module);
    int64_t numbers[] = {taken.size_bytes, taken.records, taken.next_offset, taken.latest_ms, taken.leader_epoch};
    return named_tuple(state->stretch, 5, numbers, 5);
}

/* --- admitted */

static bool is_uncompressed(const struct batch *batch) {
    return !(batch->attributes & CODEC_BITS);
}

static bool passes(const struct batch *batch) {
    struct bytes payload = {batch->data + HEADER_BYTES, batch->data + batch->size};
    return has_right_crc(batch)
        && (!is_uncompressed(batch) || are_all_records(payload, batch->count, batch->base_timestamp_ms));
}

static bool passes_unlocked(const struct batch *batch) {
    PyThreadState *unlocked = unlock_for(batch->size);
    bool passed = passes(batch);
    lock_again(unlocked);
    return passed;
}

static int append_admitted(PyObject *list, PyTypeObject *class, const struct batch *batch, int64_t at) {
    int64_t numbers[] = {at, (int64_t)batch->size, batch->attributes & CODEC_BITS, batch->count,
                         batch->base_timestamp_ms, batch->max_timestamp_ms};
    PyObject *one = named_tuple(class, 7, numbers, 6);
    if (!one)
        return -1;
    int outcome = PyTuple_SetItem(one, 6, PyBool_FromLong(is_uncompressed(batch)));
    if (!outcome)
        outcome = PyList_Append(list, one);
    Py_DECREF(one);
    return outcome;
}

static PyObject *native_admitted(PyObject *module, PyObject *arguments) {
    Py_buffer buffer;
    long long max_batch_bytes, max_records;
    if (!PyArg_ParseTuple(arguments, "y*LL", &buffer, &max_batch_bytes, &max_records))
        return NULL;
    struct state *state = PyModule_GetState(module);
    struct bytes data = bytes_of(&buffer);
    struct batch batch;
    PyObject *found = PyList_New(0);
    for (int64_t at = 0; found && read_batch(data, &batch); at += (int64_t)batch.size, data.at += batch.size) {
        if ((int64_t)batch.size > max_batch_bytes || batch.count > max_records || !passes_unlocked(&batch))
            break;
        if (append_admitted(found, state->admitted, &batch, at) < 0)
            Py_CLEAR(found);
    }
    PyBuffer_Release(&buffer);
    return found;
}

/* --- are_records */

static PyObject *native_are_records(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer buffer;
    long long count, base_timestamp_ms;
    if (!PyArg_ParseTuple(arguments, "y*LL", &buffer, &count, &base_timestamp_ms))
        return NULL;
    struct bytes payload = bytes_of(&buffer);
    PyThreadState *unlocked = unlock_for(left(&payload));
    bool verdict = are_all_records(payload, count, base_timestamp_ms);
    lock_again(unlocked);
    PyBuffer_Release(&buffer);
    return PyBool_FromLong(verdict);
}

/* --- merged */

static const char *const REFUSALS[] = {
    [NO_RECORDS] = "a part is not records",
    [TOO_FAR_APART] = "timestamps too far apart for one batch",
    [TOO_MUCH] = "more than a batch may have",
};

static PyObject *refuse(enum joining outcome) {
    PyErr_SetString(PyExc_ValueError, REFUSALS[outcome]);
    return NULL;
}

static PyObject *joined(const struct part *parts, size_t count) {
    int64_t base_timestamp_ms = count ? parts[0].base_timestamp_ms : 0;
    size_t given = 0, size;
    for (size_t n = 0; n < count; n++)
        given += left(&parts[n].payload);
    PyThreadState *unlocked = unlock_for(given);
    enum joining outcome = measure(parts, count, base_timestamp_ms, &size);
    lock_again(unlocked);
    if (outcome != JOINED || size > PY_SSIZE_T_MAX)
        return refuse(outcome != JOINED ? outcome : TOO_MUCH);
    PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!out)
        return NULL;
    uint8_t *to = (uint8_t *)PyBytes_AsString(out);
    unlocked = unlock_for(size);
    outcome = join(parts, count, base_timestamp_ms, to, size);
    lock_again(unlocked);
    if (outcome == JOINED)
        return out;
    Py_DECREF(out);
    return refuse(outcome);
}

/* Borrow one part's buffer, which the caller then releases. */
static int borrow(PyObject *item, Py_buffer *buffer, struct part *part) {
    long long count, base_timestamp_ms;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "a part is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "y*LL", buffer, &count, &base_timestamp_ms))
        return -1;
    *part = (struct part){bytes_of(buffer), count, base_timestamp_ms};
    return 0;
}

static PyObject *native_merged(PyObject *module, PyObject *given) {
    (void)module;
    PyObject *list = PySequence_List(given), *out = NULL;
    if (!list)
        return NULL;
    Py_ssize_t count = PyList_Size(list), borrowed = 0;
    Py_buffer *buffers = PyMem_Calloc((size_t)count, sizeof *buffers);
    struct part *parts = PyMem_Calloc((size_t)count, sizeof *parts);
    if (!buffers || !parts)
        PyErr_NoMemory();
    else {
        while (borrowed < count && !borrow(PyList_GetItem(list, borrowed), &buffers[borrowed], &parts[borrowed]))
            borrowed++;
        if (borrowed == count)
            out = joined(parts, (size_t)count);
        while (borrowed)
            PyBuffer_Release(&buffers[--borrowed]);
    }
    PyMem_Free(buffers);
    PyMem_Free(parts);
    Py_DECREF(list);
    return out;
}

/* --- blank */

static PyObject *native_blank(PyObject *module, PyObject *arg) {
    (void)module;
    Py_ssize_t size = PyLong_AsSsize_t(arg);
    if (size < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "negative count");
        return 0;
    }
    return PyByteArray_FromStringAndSize(0, size);
}

/* --- the module */

static PyMethodDef METHODS[] = {
    {"stretch", native_stretch, METH_VARARGS, "See mesh.batch.twin.stretch."},
    {"admitted", native_admitted, METH_VARARGS, "See mesh.batch.twin.admitted."},
    {"are_records", native_are_records, METH_VARARGS, "See mesh.batch.twin.are_records."},
    {"merged", native_merged, METH_O, "See mesh.batch.twin.merged."},
    {"blank", native_blank, METH_O, "See mesh.batch.twin.blank."},
    {0},
};

static int native_exec(PyObject *module) {
    struct state *state = PyModule_GetState(module);
    PyObject *twin = PyImport_ImportModule("mesh.batch.twin");
    if (!twin)
        return -1;
    state->stretch = (PyTypeObject *)PyObject_GetAttrString(twin, "Stretch");
    state->admitted = (PyTypeObject *)PyObject_GetAttrString(twin, "Admitted");
    Py_DECREF(twin);
    crc_prepare();
    return state->stretch && state->admitted ? 0 : -1;
}

static int native_traverse(PyObject *module, visitproc visit, void *arg) {
    struct state *state = PyModule_GetState(module);
    Py_VISIT(state->stretch);
    Py_VISIT(state->admitted);
    return 0;
}

static int native_clear(PyObject *module) {
    struct state *state = PyModule_GetState(module);
    Py_CLEAR(state->stretch);
    Py_CLEAR(state->admitted);
    return 0;
}

static PyModuleDef_Slot SLOTS[] = {
    {Py_mod_exec, (void *)native_exec},
    {0},
};

static PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mesh.batch._native",
    .m_doc = "The compiled part of mesh.batch.native.",
    .m_size = sizeof(struct state),
    .m_methods = METHODS,
    .m_slots = SLOTS,
    .m_traverse = native_traverse,
    .m_clear = native_clear,
};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&MODULE);
}
