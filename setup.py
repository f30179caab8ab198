"""Packaging. Exact pins are in constraints.txt; ranges here."""

from setuptools import find_packages, setup

setup(
    name="archlab",
    version="0.1.0",
    description="Describe a language-model architecture once, run it in JAX and in PyTorch, and prove they agree.",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["archlab*"]),
    install_requires=[
        "numpy>=2.1",
        "ml-dtypes>=0.5",
        "array-api-compat>=1.11",
        "einops>=0.8",
        "pyyaml>=6",
        "ml-collections>=1.0",
        "safetensors>=0.5",
        "tokenizers>=0.20",
        "grain>=0.2.10",
        "typer>=0.15",
        "rich>=13.9",
        "matplotlib>=3.9",
        "tensorboardX>=2.6",
        "psutil>=6",
    ],
    extras_require={
        "jax": ["jax>=0.10", "flax>=0.12.6", "optax>=0.2.6", "orbax-checkpoint>=0.11.30"],
        "torch": ["torch>=2.11"],
        "unigram": ["sentencepiece>=0.2"],
        "data": ["pyarrow>=18", "datasets>=4"],  # Parquet files, and datasets of the Hugging Face library
        "hub": ["huggingface-hub>=0.30"],  # models of the Hugging Face hub by name
        "wandb": ["wandb>=0.19"],
        "mlflow": ["mlflow-skinny>=3"],
        "trackio": ["trackio>=0.2"],
        "dev": [
            "build",
            "mypy>=1.15",
            "pre-commit>=4",
            "pytest>=8,<9.2",  # pytest-xdist 3.8 does not keep its groups together under 9.2
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "transformers>=5.10,<5.24",  # what families and generated code are held to
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": ["archlab = archlab.cli:main"],
        "archlab.backends": ["jax = archlab_jax:backend", "torch = archlab_torch:backend"],
    },
)
