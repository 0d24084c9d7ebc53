# SPDX-License-Identifier: Apache-2.0
"""Runs a SavedModel through TensorFlow's C API, as servers in other languages do.

Usage: `python c_api.py LIBRARY SAVED_MODEL TENSORS CALLS RESULTS`. The program does not import TensorFlow or this
project.

LIBRARY is the path of TensorFlow's shared library. SAVED_MODEL is the directory of the SavedModel. TENSORS is a JSON
object `{signature: {"inputs": {key: tensor name}, "output": tensor name}}`. CALLS is the `.npz` file of inputs, with
keys `label/signature/key`. RESULTS is the `.npz` file that the program writes, with keys `label`.
"""

import ctypes
import json
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p

import numpy as np

TYPES = {np.dtype(name): number for name, number in (("float32", 1), ("float64", 2), ("int32", 3), ("uint8", 4))}


class Output(ctypes.Structure):
    """The C struct `TF_Output`: one output tensor of an operation."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


FUNCTIONS = {
    "TF_NewStatus": (c_void_p,),
    "TF_GetCode": (c_int, c_void_p),
    "TF_Message": (c_char_p, c_void_p),
    "TF_NewGraph": (c_void_p,),
    "TF_NewSessionOptions": (c_void_p,),
    "TF_LoadSessionFromSavedModel": (c_void_p, c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p,
                                     c_void_p, c_void_p),
    "TF_GraphOperationByName": (c_void_p, c_void_p, c_char_p),
    "TF_AllocateTensor": (c_void_p, c_int, POINTER(c_int64), c_int, c_size_t),
    "TF_TensorData": (c_void_p, c_void_p),
    "TF_TensorType": (c_int, c_void_p),
    "TF_NumDims": (c_int, c_void_p),
    "TF_Dim": (c_int64, c_void_p, c_int),
    "TF_TensorByteSize": (c_size_t, c_void_p),
    "TF_DeleteTensor": (None, c_void_p),
    "TF_SessionRun": (None, c_void_p, c_void_p, POINTER(Output), POINTER(c_void_p), c_int, POINTER(Output),
                      POINTER(c_void_p), c_int, c_void_p, c_int, c_void_p, c_void_p),
    "TF_CloseSession": (None, c_void_p, c_void_p),
}


class Session:
    """Loads a SavedModel with TensorFlow's C API and runs it."""

    def __init__(self, library, saved_model):
        self.c = ctypes.CDLL(library)
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, arguments
        self.status, self.graph = self.c.TF_NewStatus(), self.c.TF_NewGraph()
        self.session = self.c.TF_LoadSessionFromSavedModel(
            self.c.TF_NewSessionOptions(), None, saved_model.encode(), (c_char_p * 1)(b"serve"), 1, self.graph, None,
            self.status)
        self.check()

    def check(self):
        if self.c.TF_GetCode(self.status):
            raise RuntimeError(self.c.TF_Message(self.status).decode())

    def run(self, inputs, output):
        """Returns the value of the tensor named `output`. `inputs` maps tensor names to arrays."""
        places = (Output * len(inputs))(*map(self.output, inputs))
        tensors = (c_void_p * len(inputs))(*map(self.tensor, inputs.values()))
        result = c_void_p()
        self.c.TF_SessionRun(self.session, None, places, tensors, len(inputs), byref(self.output(output)),
                             byref(result), 1, None, 0, None, self.status)
        self.check()
        for tensor in tensors:
            self.c.TF_DeleteTensor(tensor)
        return self.array(result)

    def output(self, name):
        operation, _, index = name.partition(":")
        found = self.c.TF_GraphOperationByName(self.graph, operation.encode())
        if not found:
            raise KeyError(name)
        return Output(found, int(index))

    def tensor(self, array):
        shape = (c_int64 * array.ndim)(*array.shape)
        tensor = self.c.TF_AllocateTensor(TYPES[array.dtype], shape, array.ndim, array.nbytes)
        ctypes.memmove(self.c.TF_TensorData(tensor), np.ascontiguousarray(array).ctypes.data, array.nbytes)
        return tensor

    def array(self, tensor):
        dtype = {number: dtype for dtype, number in TYPES.items()}[self.c.TF_TensorType(tensor)]
        shape = [self.c.TF_Dim(tensor, n) for n in range(self.c.TF_NumDims(tensor))]
        data = ctypes.string_at(self.c.TF_TensorData(tensor), self.c.TF_TensorByteSize(tensor))
        self.c.TF_DeleteTensor(tensor)
        return np.frombuffer(data, dtype).reshape(shape)

    def close(self):
        self.c.TF_CloseSession(self.session, self.status)
        self.check()


def main(library, saved_model, tensors, calls, results):
    session, tensors, arrays = Session(library, saved_model), json.loads(tensors), np.load(calls)
    inputs, signatures = {}, {}
    for name in arrays.files:
        label, signature, key = name.split("/")
        inputs.setdefault(label, {})[tensors[signature]["inputs"][key]] = arrays[name]
        signatures[label] = signature
    np.savez(results, **{label: session.run(values, tensors[signatures[label]]["output"])
                         for label, values in inputs.items()})
    session.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
