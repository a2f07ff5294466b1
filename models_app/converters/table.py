"""Which estimators are converted by a converter of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sklearn import discriminant_analysis, ensemble, linear_model, svm, tree
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import PolynomialFeatures

from models_app.converters import forests, histograms, linear, support_vectors, transformers
from models_app.converters.in_float import in_float
from models_app.converters.writing import converter

CONVERTERS: Mapping[type, Callable[[Any, Any, Any], None]] = {
    tree.DecisionTreeRegressor: forests.forest,
    tree.ExtraTreeRegressor: forests.forest,
    ensemble.RandomForestRegressor: forests.forest,
    ensemble.ExtraTreesRegressor: forests.forest,
    ensemble.GradientBoostingRegressor: forests.boosting,
    tree.DecisionTreeClassifier: in_float,
    tree.ExtraTreeClassifier: in_float,
    ensemble.RandomForestClassifier: in_float,
    ensemble.ExtraTreesClassifier: in_float,
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
    svm.NuSVR: converter(support_vectors.regression),
    svm.SVR: converter(support_vectors.regression),
    SimpleImputer: transformers.impute,
    PolynomialFeatures: converter(transformers.polynomial),
}
