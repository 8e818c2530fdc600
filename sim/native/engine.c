/* The engine's module: what its parts add to it, and what it was built from. */
#include "engine.h"

#ifndef STAMP
#define STAMP ""
#endif

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "engine", .m_doc = "The simulation's hot paths, in C.", .m_size = -1,
};

PyMODINIT_FUNC PyInit_engine(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || timeline_part(module) < 0 || writing_part(module) < 0 || streams_part(module) < 0 ||
        accounts_part(module) < 0 || calls_part(module) < 0 || frames_part(module) < 0 || PyModule_AddStringConstant(module, "STAMP", STAMP) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
