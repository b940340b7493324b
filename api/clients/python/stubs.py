"""Stubs made from the proto when a script starts, so that none are kept in the project.

`import stubs; from ducat.v1 import ledger_pb2, ledger_pb2_grpc`
"""
import atexit
import pathlib
import shutil
import sys
import tempfile

from grpc_tools import protoc

PROTO_DIR = pathlib.Path(__file__).resolve().parents[2] / "proto"


def _generate():
    out = tempfile.mkdtemp(prefix="ducat-stubs-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    arguments = ["protoc", f"-I{PROTO_DIR}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main([*arguments, "ducat/v1/ledger.proto"]) != 0:
        sys.exit("the stubs could not be made from the proto")
    sys.path.insert(0, out)


_generate()
