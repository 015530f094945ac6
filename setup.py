"""What pyproject.toml cannot say: the C module, and one wheel for every Python 3."""

from setuptools import setup

setup(
    cffi_modules=["csrc/build_core.py:ffi"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
