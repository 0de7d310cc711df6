"""Teaching a lens: a model is shown patches that are alike, and what it says of them tells what residuals mean.

Pupils are patches of natural images with their likes from other images; the model that explains looks at them as it
looks at exemplars, and tells how probable each of many phrases is. A linear map from the pupils' residuals to these
phrases is the lens. No SAE takes part in it: features are read through it afterwards, by the rows of their encoder.

The phrases are what the model says by itself of features that are steered on an empty image. Those features, which
should be none that is judged, also tell what a lens has to be held against: what it, and the steered model, say of
any feature.
"""
