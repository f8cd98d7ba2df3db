"""The repository's root is the package `errata`; its folders keep their places."""

from setuptools import find_namespace_packages, setup

ROOMS = ("agent", "agent.*", "tools", "tools.*", "prompts", "runs", "runs.configs")

setup(
    package_dir={"errata": "."},
    packages=["errata", *(f"errata.{name}" for name in find_namespace_packages(".", include=ROOMS))],
)
