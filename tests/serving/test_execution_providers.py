"""Devices by name, and what is said where onnxruntime was not built for one."""

import pytest

from Utils.command.cli import UserError
from Utils.serving import execution_providers
from Utils.serving.execution_providers import CPU


def test_auto_takes_an_accelerator_and_cpu_none():
    both = ["CUDAExecutionProvider", CPU]
    assert execution_providers.choose("auto", both) == both
    assert execution_providers.choose("cpu", both) == [CPU]
    assert execution_providers.choose("auto", ["CoreMLExecutionProvider", CPU]) == [CPU]
    assert (
        execution_providers.choose("coreml", ["CoreMLExecutionProvider", CPU])[0] == "CoreMLExecutionProvider"
    )


def test_a_device_that_is_not_there_names_those_that_are():
    with pytest.raises(UserError, match=r"needs CUDAExecutionProvider .onnxruntime-gpu.*auto, cpu$"):
        execution_providers.choose("cuda", [CPU])
    with pytest.raises(UserError, match=r"offers auto, cpu, openvino \(OpenVINOExecutionProvider\)"):
        execution_providers.choose("directml", ["OpenVINOExecutionProvider", CPU])
