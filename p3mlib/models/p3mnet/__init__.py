"""P3M-Net: encoders with max-pooling, integration modules TFI, sBFI and dBFI, two decoders, and modules fused for inference."""
