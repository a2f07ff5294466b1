"""Which types and functions a skops file may name; whatever is not named here is refused.

The lists are ours, not skops' own: skops trusts all of scikit-learn, of which some read files.
Only what a fitted estimator needs in order to predict is here, and each type that keeps
memory addresses or array indices for compiled code has a check of its own:

| type | what compiled code takes on trust | the check |
| --- | --- | --- |
| Tree, DecisionTree*, ExtraTree*, forests | child and feature indices, counts | `tree_checks` |
| GradientBoosting* | the same, and the number of columns that trees add to | `tree_checks` |
| TreePredictor, HistGradientBoosting* | children, features, bit sets | `tree_checks` |
| KDTree, BallTree, KNeighbors*, RadiusNeighbors* | index arrays, node bounds | `neighbour_checks` |
| SVC, SVR, NuSVC, NuSVR | lengths of support vectors and coefficients | `svm_checks` |
| CountVectorizer, TfidfVectorizer, OneHotEncoder | places in a sparse row | `sparse_checks` |
| sparse matrices | indices and pointers | `skops_arrays` |
| RandomState, Generator | the position in its state | `skops_nodes` |
| losses of SGD and boosting | numbers only; not called to predict | `skops_nodes` |
| all else | plain attributes that NumPy checks as it reads them | `parameter_checks` |

Left out on purpose: SplineTransformer (scipy's BSpline trusts its arrays), Birch, QuadTree,
Mahalanobis, standardised Euclidean and haversine distances, partials, bound methods and
`operator` functions.
"""

from __future__ import annotations

from collections.abc import Mapping


def _named(by_module: Mapping[str, str]) -> frozenset[str]:
    return frozenset(
        f"{module}.{name}" for module, names in by_module.items() for name in names.split()
    )


TREES = _named(
    {
        "sklearn.tree._classes": "DecisionTreeClassifier DecisionTreeRegressor "
        "ExtraTreeClassifier ExtraTreeRegressor"
    }
)
FORESTS = _named(
    {
        "sklearn.ensemble._forest": "ExtraTreesClassifier ExtraTreesRegressor "
        "RandomForestClassifier RandomForestRegressor"
    }
)
BOOSTINGS = _named({"sklearn.ensemble._gb": "GradientBoostingClassifier GradientBoostingRegressor"})
HISTOGRAM_BOOSTINGS = _named(
    {
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": (
            "HistGradientBoostingClassifier HistGradientBoostingRegressor"
        )
    }
)
TREE = "sklearn.tree._tree.Tree"
TREE_PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
BIN_MAPPER = "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper"
NEIGHBOURS = _named(
    {
        "sklearn.neighbors._classification": "KNeighborsClassifier RadiusNeighborsClassifier",
        "sklearn.neighbors._regression": "KNeighborsRegressor RadiusNeighborsRegressor",
    }
)
NEIGHBOUR_TREES = _named(
    {"sklearn.neighbors._kd_tree": "KDTree", "sklearn.neighbors._ball_tree": "BallTree"}
)
DISTANCES = _named(
    {
        "sklearn.metrics._dist_metrics": "ChebyshevDistance64 EuclideanDistance64 "
        "ManhattanDistance64 MinkowskiDistance64"
    }
)
SUPPORT_VECTORS = _named({"sklearn.svm._classes": "NuSVC NuSVR SVC SVR"})
VECTORIZERS = _named(
    {"sklearn.feature_extraction.text": "CountVectorizer HashingVectorizer TfidfVectorizer"}
)
ONE_HOT = "sklearn.preprocessing._encoders.OneHotEncoder"
DUMMIES = _named({"sklearn.dummy": "DummyClassifier DummyRegressor"})

_LINEAR = _named(
    {
        "sklearn.linear_model._base": "LinearRegression",
        "sklearn.linear_model._bayes": "ARDRegression BayesianRidge",
        "sklearn.linear_model._coordinate_descent": "ElasticNet ElasticNetCV Lasso LassoCV",
        "sklearn.linear_model._glm.glm": "GammaRegressor PoissonRegressor TweedieRegressor",
        "sklearn.linear_model._huber": "HuberRegressor",
        "sklearn.linear_model._least_angle": "Lars LarsCV LassoLars LassoLarsCV LassoLarsIC",
        "sklearn.linear_model._logistic": "LogisticRegression LogisticRegressionCV",
        "sklearn.linear_model._omp": "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV",
        "sklearn.linear_model._passive_aggressive": "PassiveAggressiveClassifier "
        "PassiveAggressiveRegressor",
        "sklearn.linear_model._perceptron": "Perceptron",
        "sklearn.linear_model._quantile": "QuantileRegressor",
        "sklearn.linear_model._ransac": "RANSACRegressor",
        "sklearn.linear_model._ridge": "Ridge RidgeCV RidgeClassifier RidgeClassifierCV",
        "sklearn.linear_model._stochastic_gradient": "SGDClassifier SGDRegressor",
        "sklearn.linear_model._theil_sen": "TheilSenRegressor",
        "sklearn.svm._classes": "LinearSVC LinearSVR",
    }
)
_OTHER_ESTIMATORS = _named(
    {
        "sklearn.calibration": "CalibratedClassifierCV _CalibratedClassifier "
        "_SigmoidCalibration _TemperatureScaling",
        "sklearn.compose._target": "TransformedTargetRegressor",
        "sklearn.cross_decomposition._pls": "PLSRegression",
        "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
        "sklearn.ensemble._bagging": "BaggingClassifier BaggingRegressor",
        "sklearn.ensemble._stacking": "StackingClassifier StackingRegressor",
        "sklearn.ensemble._voting": "VotingClassifier VotingRegressor",
        "sklearn.ensemble._weight_boosting": "AdaBoostClassifier AdaBoostRegressor",
        "sklearn.gaussian_process._gpc": "GaussianProcessClassifier "
        "_BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process._gpr": "GaussianProcessRegressor",
        "sklearn.gaussian_process.kernels": "CompoundKernel ConstantKernel DotProduct "
        "ExpSineSquared Exponentiation Matern Product RBF RationalQuadratic Sum WhiteKernel",
        "sklearn.isotonic": "IsotonicRegression",
        "sklearn.kernel_ridge": "KernelRidge",
        "sklearn.model_selection._classification_threshold": "FixedThresholdClassifier "
        "TunedThresholdClassifierCV",
        "sklearn.model_selection._search": "GridSearchCV RandomizedSearchCV",
        "sklearn.multiclass": "OneVsOneClassifier OneVsRestClassifier",
        "sklearn.naive_bayes": "BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB",
        "sklearn.neighbors._nearest_centroid": "NearestCentroid",
        "sklearn.neural_network._multilayer_perceptron": "MLPClassifier MLPRegressor",
        "sklearn.pipeline": "FeatureUnion Pipeline",
    }
)
_TRANSFORMERS = _named(
    {
        "sklearn.compose._column_transformer": "ColumnTransformer make_column_selector",
        "sklearn.decomposition._fastica": "FastICA",
        "sklearn.decomposition._pca": "PCA",
        "sklearn.decomposition._truncated_svd": "TruncatedSVD",
        "sklearn.feature_extraction.text": "TfidfTransformer",
        "sklearn.feature_selection._from_model": "SelectFromModel",
        "sklearn.feature_selection._rfe": "RFE RFECV",
        "sklearn.feature_selection._univariate_selection": "SelectFdr SelectFpr SelectFwe "
        "SelectKBest SelectPercentile",
        "sklearn.feature_selection._variance_threshold": "VarianceThreshold",
        "sklearn.impute._base": "MissingIndicator SimpleImputer",
        "sklearn.impute._knn": "KNNImputer",
        "sklearn.kernel_approximation": "Nystroem RBFSampler",
        "sklearn.preprocessing._data": "Binarizer MaxAbsScaler MinMaxScaler Normalizer "
        "PowerTransformer QuantileTransformer RobustScaler StandardScaler",
        "sklearn.preprocessing._discretization": "KBinsDiscretizer",
        "sklearn.preprocessing._encoders": "OrdinalEncoder",
        "sklearn.preprocessing._function_transformer": "FunctionTransformer",
        "sklearn.preprocessing._label": "LabelBinarizer LabelEncoder",
        "sklearn.preprocessing._polynomial": "PolynomialFeatures",
        "sklearn.preprocessing._target_encoder": "TargetEncoder",
        "sklearn.random_projection": "GaussianRandomProjection",
    }
)
_PARTS = _named(
    {
        "sklearn._loss.link": "HalfLogitLink IdentityLink Interval LogLink LogitLink "
        "MultinomialLogit",
        "sklearn._loss.loss": "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss "
        "HalfMultinomialLoss HalfPoissonLoss HalfSquaredError HalfTweedieLoss "
        "HalfTweedieLossIdentity HuberLoss PinballLoss",
        "sklearn.metrics._scorer": "_CurveScorer _PassthroughScorer _Scorer",
        "sklearn.model_selection._split": "KFold StratifiedKFold StratifiedShuffleSplit",
        "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
        "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    }
)

# Those whose state is a tuple for compiled code; the state of all others is a dict of attributes.
TUPLES = NEIGHBOUR_TREES | DISTANCES
OBJECTS = frozenset(
    {
        *TREES, *FORESTS, *BOOSTINGS, *HISTOGRAM_BOOSTINGS, TREE_PREDICTOR, BIN_MAPPER, *NEIGHBOURS,
        *TUPLES, *SUPPORT_VECTORS, *VECTORIZERS, ONE_HOT, *DUMMIES, *_LINEAR, *_OTHER_ESTIMATORS,
        *_TRANSFORMERS, *_PARTS,
    }
)  # fmt: skip

LOSSES = _named(
    {
        "sklearn._loss._loss": "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss "
        "CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError "
        "CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss",
        "sklearn.linear_model._sgd_fast": "EpsilonInsensitive Hinge ModifiedHuber "
        "SquaredEpsilonInsensitive SquaredHinge",
    }
)

SPARSE = _named(
    {
        "scipy.sparse._csr": "csr_array csr_matrix",
        "scipy.sparse._csc": "csc_array csc_matrix",
    }
)

NUMBERS = _named(
    {
        "numpy": "bool bool_ float16 float32 float64 int16 int32 int64 int8 intp longlong str_ "
        "uint16 uint32 uint64 uint8 ulonglong"
    }
)
# What the keys of a dict may be, and what a parameter such as `dtype` may name.
TYPES = NUMBERS | _named({"builtins": "bool float int str", "numpy": "number object_"})

_UFUNCS = _named(
    {
        "numpy": "absolute arcsinh cbrt cos exp exp2 expm1 log log10 log1p log2 negative "
        "reciprocal sign sin sinh sqrt square tanh",
        "scipy.special": "expit logit",
        "scipy.special._ufuncs": "expit logit",
    }
)
_SCORES = _named(
    {
        "sklearn.feature_selection._univariate_selection": "chi2 f_classif f_regression",
        "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
    }
)
_METRICS = _named(
    {
        "sklearn.metrics._classification": "accuracy_score balanced_accuracy_score "
        "brier_score_loss f1_score fbeta_score jaccard_score log_loss matthews_corrcoef "
        "precision_score recall_score",
        "sklearn.metrics._ranking": "average_precision_score roc_auc_score",
        "sklearn.metrics._regression": "explained_variance_score max_error mean_absolute_error "
        "mean_squared_error median_absolute_error r2_score root_mean_squared_error",
    }
)
# Under which attribute each function may stand, and nowhere else.
FUNCTIONS: Mapping[str, frozenset[str]] = {
    "func": _UFUNCS,
    "inverse_func": _UFUNCS,
    "score_func": _SCORES,
    "_score_func": _METRICS,
}
