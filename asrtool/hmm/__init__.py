"""Layer 2: HMM topology and transition model."""
