"""What can be trained: one recipe a module, each private or not by one setting."""

from collections.abc import Mapping

RECIPES: Mapping[str, str] = {
    "causal-lm": "governance.training.recipes.causal_lm:CausalLM",
    "clusters": "governance.training.recipes.clusters:Clusters",
    "encoder-classifier": "governance.training.recipes.encoder_classifier:EncoderClassifier",
    "logistic": "governance.training.recipes.logistic:Logistic",
    "lstm-classifier": "governance.training.recipes.lstm_classifier:LSTMClassifier",
    "lstm-recommender": "governance.training.recipes.lstm_recommender:LSTMRecommender",
    "mlm": "governance.training.recipes.mlm:MaskedLM",
    "mlp": "governance.training.recipes.mlp:MLP",
    "qa": "governance.training.recipes.qa:ExtractiveQA",
    "self-training": "governance.training.recipes.self_training:SelfTraining",
    "seq2seq": "governance.training.recipes.seq2seq:Seq2Seq",
    "tagger": "governance.training.recipes.tagger:Tagger",
    "transformer-classifier": "governance.training.recipes.transformer_classifier:TransformerClassifier",
    "tree": "governance.training.recipes.tree:Forest",
}
"""Name in a config -> recipe."""

SINGLE = frozenset({"clusters", "self-training", "tree"})
"""Recipes that train in one process only."""
