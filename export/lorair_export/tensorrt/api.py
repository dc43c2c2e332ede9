"""What this package uses of TensorRT's Python bindings, as types: the libraries have none.

Names and meanings are NVIDIA's; see the Python API reference of TensorRT and of TensorRT-RTX. What only one of the two
has is marked; look for it with `hasattr`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

Shape = Sequence[int]
Buffer = bytes | bytearray | memoryview  # the bindings' IHostMemory has the buffer interface


class Enumeration(Protocol):
    """An enumeration whose members are looked up by name."""

    __members__: Mapping[str, int]


class DataType(Protocol):
    name: str


class Tensor(Protocol):
    name: str
    dtype: DataType

    @property
    def shape(self) -> Shape: ...


class Layer(Protocol):
    type: object

    def get_input(self, index: int) -> Tensor: ...
    def get_output(self, index: int) -> Tensor: ...


class Network(Protocol):
    """`INetworkDefinition`."""

    name: str
    num_inputs: int
    num_layers: int

    def get_input(self, index: int) -> Tensor: ...
    def get_layer(self, index: int) -> Layer: ...


class OnnxError(Protocol):
    def node_operator(self) -> str: ...
    def node_name(self) -> str: ...
    def desc(self) -> str: ...


class Parser(Protocol):
    """`OnnxParser`; it owns weights, so it must outlive the build."""

    num_errors: int

    def parse_from_file(self, path: str) -> bool: ...
    def get_error(self, index: int) -> OnnxError: ...


class OptimizationProfile(Protocol):
    def set_shape(self, name: str, least: Shape, usual: Shape, most: Shape, /) -> None: ...


class TimingCache(Protocol):
    def serialize(self) -> Buffer: ...


class BuilderConfig(Protocol):
    """`IBuilderConfig`."""

    profiling_verbosity: object
    progress_monitor: object
    builder_optimization_level: int
    hardware_compatibility_level: object  # classic TensorRT
    num_compute_capabilities: int  # TensorRT-RTX

    def set_flag(self, flag: object) -> None: ...
    def add_optimization_profile(self, profile: OptimizationProfile) -> int: ...
    def set_memory_pool_limit(self, pool: object, size: int) -> None: ...
    def set_compute_capability(self, capability: object, index: int) -> None: ...
    def create_timing_cache(self, serialized: bytes) -> TimingCache | None: ...
    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool: ...


class Builder(Protocol):
    def create_network(self, flags: int) -> Network: ...
    def create_builder_config(self) -> BuilderConfig: ...
    def create_optimization_profile(self) -> OptimizationProfile: ...
    def build_serialized_network(self, network: Network, config: BuilderConfig) -> Buffer | None: ...


class RuntimeCache(Protocol):
    """`IRuntimeCache`, TensorRT-RTX."""

    def serialize(self) -> Buffer | None: ...
    def deserialize(self, serialized: bytes) -> bool: ...


class RuntimeConfig(Protocol):
    """`IRuntimeConfig`, TensorRT-RTX."""

    cuda_graph_strategy: object

    def create_runtime_cache(self) -> RuntimeCache: ...
    def set_runtime_cache(self, cache: RuntimeCache) -> bool: ...


class ExecutionContext(Protocol):
    """`IExecutionContext`."""

    def set_optimization_profile_async(self, index: int, stream: int) -> bool: ...
    def set_input_shape(self, name: str, shape: Shape) -> bool: ...
    def get_tensor_shape(self, name: str) -> Shape: ...
    def set_tensor_address(self, name: str, address: int) -> bool: ...
    def execute_async_v3(self, stream: int) -> bool: ...


class Inspector(Protocol):
    def get_engine_information(self, form: object) -> str: ...


class CudaEngine(Protocol):
    """`ICudaEngine`."""

    def create_execution_context(self, config: RuntimeConfig = ..., /) -> ExecutionContext | None: ...
    def create_runtime_config(self) -> RuntimeConfig: ...  # TensorRT-RTX
    def create_engine_inspector(self) -> Inspector: ...


class Runtime(Protocol):
    engine_host_code_allowed: bool

    def deserialize_cuda_engine(self, plan: bytes) -> CudaEngine | None: ...


class EngineRefitter(Protocol):
    def refit_cuda_engine(self) -> bool: ...


class ParserRefitter(Protocol):
    """`OnnxParserRefitter`."""

    def refit_from_file(self, path: str) -> bool: ...


class Logger:
    """`ILogger`, to be derived from; the first one that a process registers stays for good."""

    WARNING: object
    ERROR: object
    INTERNAL_ERROR: object

    def log(self, severity: object, msg: str) -> None:
        raise NotImplementedError


class ProgressMonitor:
    """`IProgressMonitor`, to be derived from."""


class Module(Protocol):
    """`tensorrt` or `tensorrt_rtx`."""

    __version__: str
    ILogger: type[Logger]
    IProgressMonitor: type[ProgressMonitor]
    BuilderFlag: Enumeration
    NetworkDefinitionCreationFlag: Enumeration
    ProfilingVerbosity: Enumeration
    MemoryPoolType: Enumeration
    LayerType: Enumeration
    LayerInformationFormat: Enumeration
    HardwareCompatibilityLevel: Enumeration  # classic TensorRT
    ComputeCapability: Enumeration  # TensorRT-RTX
    CudaGraphStrategy: Enumeration  # TensorRT-RTX

    def Builder(self, logger: Logger, /) -> Builder: ...
    def OnnxParser(self, network: Network, logger: Logger, /) -> Parser: ...
    def Runtime(self, logger: Logger, /) -> Runtime: ...
    def Refitter(self, engine: CudaEngine, logger: Logger, /) -> EngineRefitter: ...
    def OnnxParserRefitter(self, refitter: EngineRefitter, logger: Logger, /) -> ParserRefitter: ...
