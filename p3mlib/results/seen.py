"""What is to be seen on the figures, for those who do not see them: the page's alternative texts."""

FIGURES = {
    1: "Portraits beside the alpha mattes of a network trained on blurred faces: blurred ones above, un-blurred ones below.",
    2: "Portraits of the data set: with blurred faces above, of P3M-500-NP un-blurred below.",
    3: "Six steps to an anonymised portrait: original, landmarks, private area, transition area, what is left, blurred face.",
    4: "Diagram of P3M-Net: one encoder, a semantic and a matting decoder, and the modules TFI, sBFI and dBFI between them.",
    5: "Diagram of a two-stage and a multi-task network: how their encoders and decoders are put together.",
    6: "Diagram of the encoder with max-pooling, and the last block of ResNet-34, Swin-T and ViTAE-S.",
    7: "A portrait, the mattes of three variants of P3M-Net and the truth, with four close-ups under each.",
    8: "Portraits on which methods fail, each beside the matte that a method gave.",
    9: "Two lanes, copy and paste into images and into features: source, target, masks, the merged data and the matte.",
    10: "A face of the source set, its parts in colours with a line above the brows, its face mask, and the face alone.",
    11: "Portraits into whose blurred faces other faces were pasted, at random and matched, with target, source and both masks.",
    12: "Blurred portraits, the true mattes, and the mattes of every method side by side.",
    13: "Un-blurred portraits of P3M-500-NP, the true mattes, and the mattes of every method side by side.",
    14: "Portraits of RWP, the true mattes, and the mattes of every method side by side.",
    15: "Un-blurred portraits with the mattes of networks trained without and with copy and paste, on normal images; the truth.",
}
CLAIMS = "Bars, one a claim: the share of resampled tables in which it holds, coloured by its verdict, with a tick at chance."
TEASER = "A portrait, the same portrait with its face blurred, and its alpha matte."
