"""The Inception network of FID and KID, with weights of each file that goes round."""

from groupdnet_hub.metrics.inception.features import InceptionFeatures, inception_download

__all__ = ["InceptionFeatures", "inception_download"]
