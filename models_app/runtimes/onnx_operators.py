"""Which operators an ONNX graph may hold, and with which attributes.

These are the ones that our conversions of the catalogue and of usual scikit-learn estimators
make, found by converting them (`tests/models_app/runtimes/test_onnx_checks.py`). Whatever else
onnxruntime knows is refused: control flow, functions of the graph's own, operators that repeat,
pad or resize, and those that read files.
"""

from __future__ import annotations

from collections.abc import Mapping

STANDARD, ML, MICROSOFT = "", "ai.onnx.ml", "com.microsoft"
# The versions of each domain that the operators below were looked at in.
VERSIONS: Mapping[str, range] = {
    STANDARD: range(9, 19),
    ML: range(1, 4),
    MICROSOFT: range(1, 2),
}

_TREE = (
    "nodes_falsenodeids nodes_featureids nodes_hitrates nodes_missing_value_tracks_true "
    "nodes_modes nodes_nodeids nodes_treeids nodes_truenodeids nodes_values nodes_values_as_tensor "
    "post_transform base_values"
)
_LABELS = "classlabels_ints classlabels_int64s classlabels_strings"

_ALLOWED: Mapping[str, Mapping[str, str]] = {
    STANDARD: {
        "Abs": "", "Add": "", "And": "", "ArgMax": "axis keepdims select_last_index",
        "ArgMin": "axis keepdims select_last_index", "Cast": "to saturate", "Clip": "",
        "Compress": "axis", "Concat": "axis", "ConstantOfShape": "value",
        "CumSum": "exclusive reverse", "Div": "", "Equal": "", "Erf": "", "Exp": "",
        "Flatten": "axis", "Gather": "axis", "GatherElements": "axis",
        "Gemm": "alpha beta transA transB",
        "Greater": "", "GreaterOrEqual": "", "Identity": "", "IsNaN": "", "Less": "",
        "LessOrEqual": "", "Log": "", "LpNormalization": "axis p", "MatMul": "", "Max": "",
        "Min": "", "Mul": "", "Neg": "", "NonZero": "", "Not": "", "Or": "", "Pow": "",
        "Reciprocal": "", "ReduceLogSumExp": "axes keepdims noop_with_empty_axes",
        "ReduceMax": "axes keepdims noop_with_empty_axes",
        "ReduceMean": "axes keepdims noop_with_empty_axes",
        "ReduceMin": "axes keepdims noop_with_empty_axes",
        "ReduceProd": "axes keepdims noop_with_empty_axes",
        "ReduceSum": "axes keepdims noop_with_empty_axes",
        "ReduceSumSquare": "axes keepdims noop_with_empty_axes", "Relu": "", "Reshape": "allowzero",
        "Scan": "body num_scan_inputs", "Shape": "start end", "Sigmoid": "", "Sign": "",
        "Slice": "", "Softmax": "axis", "Sqrt": "", "Squeeze": "axes", "Sub": "", "Sum": "",
        "Tanh": "",
        "TfIdfVectorizer": "max_gram_length max_skip_count min_gram_length mode ngram_counts "
        "ngram_indexes pool_strings weights",
        "TopK": "axis largest sorted", "Transpose": "perm", "Unsqueeze": "axes", "Where": "",
        "Xor": "",
    },
    ML: {
        "ArrayFeatureExtractor": "",
        "Binarizer": "threshold",
        "Imputer": "imputed_value_floats replaced_value_float",
        "LabelEncoder": "default_float default_int64 default_string keys_floats keys_int64s "
        "keys_strings values_floats values_int64s values_strings",
        "LinearClassifier": f"coefficients intercepts multi_class post_transform {_LABELS}",
        "LinearRegressor": "coefficients intercepts post_transform targets",
        "Normalizer": "norm",
        "OneHotEncoder": "cats_int64s cats_strings zeros",
        "Scaler": "offset scale",
        "SVMClassifier": "coefficients kernel_params kernel_type post_transform prob_a prob_b rho "
        f"support_vectors vectors_per_class {_LABELS}",
        "SVMRegressor": "coefficients kernel_params kernel_type n_supports one_class "
        "post_transform rho support_vectors",
        "TreeEnsembleClassifier": "class_ids class_nodeids class_treeids class_weights "
        f"{_LABELS} {_TREE}",
        "TreeEnsembleRegressor": "aggregate_function n_targets target_ids target_nodeids "
        f"target_treeids target_weights target_weights_as_tensor {_TREE}",
    },
    MICROSOFT: {"Tokenizer": "mark mincharnum pad_value tokenexp"},
}  # fmt: skip

OPERATORS: Mapping[tuple[str, str], frozenset[str]] = {
    (domain, name): frozenset(attributes.split())
    for domain, operators in _ALLOWED.items()
    for name, attributes in operators.items()
}
# Within a Scan, which goes over the rows of one input: distances between rows, nothing nested.
IN_A_SCAN = frozenset({"Abs", "Add", "Identity", "Mul", "Pow", "ReduceMax", "ReduceSum",
                       "ReduceSumSquare", "Sqrt", "Sub"})  # fmt: skip
# What `conversion` has onnxruntime split texts with: words, and single characters.
TOKEN_PATTERNS = frozenset({r"[^ \t\n\r\f\v]+", r"[^ ]+", r"\S+", "."})
