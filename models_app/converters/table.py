"""Which estimators are converted by a converter of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn import discriminant_analysis, ensemble, linear_model, svm, tree
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import PolynomialFeatures

from models_app.converters import dummies, forests, histograms, kernels, linear, transformers
from models_app.converters.in_float import in_float
from models_app.converters.writing import converter

CONVERTERS: Mapping[type, Callable[[Any, Any, Any], None]] = {
    tree.DecisionTreeRegressor: forests.regression,
    tree.ExtraTreeRegressor: forests.regression,
    ensemble.RandomForestRegressor: forests.regression,
    ensemble.ExtraTreesRegressor: forests.regression,
    ensemble.GradientBoostingRegressor: forests.boosting,
    tree.DecisionTreeClassifier: forests.classification,
    tree.ExtraTreeClassifier: forests.classification,
    ensemble.RandomForestClassifier: forests.classification,
    ensemble.ExtraTreesClassifier: forests.classification,
    ensemble.GradientBoostingClassifier: in_float,
    ensemble.AdaBoostClassifier: in_float,
    ensemble.HistGradientBoostingRegressor: converter(histograms.regression),
    ensemble.HistGradientBoostingClassifier: converter(histograms.classification),
    discriminant_analysis.LinearDiscriminantAnalysis: converter(linear.classification),
    linear_model.RidgeClassifier: converter(linear.classification),
    linear_model.RidgeClassifierCV: converter(linear.classification),
    svm.LinearSVC: converter(linear.classification),
    svm.NuSVC: in_float,
    svm.SVC: in_float,
    svm.NuSVR: converter(kernels.support_vectors),
    svm.SVR: converter(kernels.support_vectors),
    GaussianProcessRegressor: converter(kernels.gaussian_process),
    SimpleImputer: transformers.impute,
    PolynomialFeatures: converter(transformers.polynomial),
}

_OPTIONS = {
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "zipmap": [True, False, "columns"],
}


def register() -> None:
    """Have skl2onnx know, in this process, the estimators that it knows nothing of."""
    for kind, convert in (
        (DummyRegressor, dummies.regression),
        (KernelRidge, kernels.kernel_ridge),
    ):
        update_registered_converter(
            kind, kind.__name__, calculate_linear_regressor_output_shapes, converter(convert)
        )
    update_registered_converter(
        DummyClassifier,
        "DummyClassifier",
        calculate_linear_classifier_output_shapes,
        converter(dummies.classification),
        options=_OPTIONS,
    )


register()
