/* Writes to many sockets in one call, past the transports of the event loop: a fan-out is mostly system calls, and what a
 * transport does around each of them costs a third as much again.
 *
 * The module is optional and the project's only compiled code. `direct` says when a socket may be written to in this way,
 * and what happens where the module does not exist.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sys/socket.h>

/* Sends without blocking. Returns the bytes that the kernel has taken: 0 also where the socket has failed, since the
 * transport, which gets the rest, finds that out and ends the connection. */
static Py_ssize_t send_some(int descriptor, const char *data, Py_ssize_t size)
{
    ssize_t sent;

    do {
        sent = send(descriptor, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? 0 : (Py_ssize_t)sent;
}

/* Notes in the list of rests how many bytes went to the socket at an index. Returns -1 with an exception set. */
static int note_rest(PyObject *rests, Py_ssize_t index, Py_ssize_t sent)
{
    PyObject *pair = Py_BuildValue("(nn)", index, sent);
    int failed = pair == NULL || PyList_Append(rests, pair) < 0;

    Py_XDECREF(pair);
    return failed ? -1 : 0;
}

static int send_all(PyObject *descriptors, PyObject *data, PyObject *rests)
{
    Py_ssize_t count = PyList_Size(descriptors), size = 0;
    int is_list = PyList_Check(data);
    char *bytes = NULL;

    if (is_list ? PyList_Size(data) != count : PyBytes_AsStringAndSize(data, &bytes, &size) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "as many data as descriptors are needed");
        return -1;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        long descriptor = PyLong_AsLong(PyList_GetItem(descriptors, index));
        Py_ssize_t sent;

        if (descriptor == -1 && PyErr_Occurred())
            return -1;
        if (is_list && PyBytes_AsStringAndSize(PyList_GetItem(data, index), &bytes, &size) < 0)
            return -1;
        sent = send_some((int)descriptor, bytes, size);
        if (sent != size && note_rest(rests, index, sent) < 0)
            return -1;
    }
    return 0;
}

PyDoc_STRVAR(send_many_doc,
    "send_many(descriptors: list[int], data: bytes | list[bytes]) -> list[tuple[int, int]]\n\n"
    "Send the same bytes to each socket, or to each its own. Returns (index, bytes sent) for each that did not take all.");

static PyObject *send_many(PyObject *module, PyObject *args)
{
    PyObject *descriptors, *data, *rests;

    (void)module;
    if (!PyArg_ParseTuple(args, "O!O:send_many", &PyList_Type, &descriptors, &data))
        return NULL;
    rests = PyList_New(0);
    if (rests != NULL && send_all(descriptors, data, rests) < 0) {
        Py_DECREF(rests);
        return NULL;
    }
    return rests;
}

static PyMethodDef methods[] = {
    {"send_many", send_many, METH_VARARGS, send_many_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_sending",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__sending(void)
{
    return PyModule_Create(&definition);
}
