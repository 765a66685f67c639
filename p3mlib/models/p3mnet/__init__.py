"""P3M-Net: encoders with max-pooling, integration modules TFI, sBFI and dBFI, two decoders, and its modules fused for inference."""
