"""What nascore-blocks offers; records only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore.hooks import Component, Method, hookimpl

if TYPE_CHECKING:
    from nascore.driver import Search


_SCREENED_QUICK = {
    "trials": 30,
    "sampler.pool": 16,
    "space.blocks": 2,
    "space.cells": 1,
    "space.channels": 4,
    "space.reductions": 1,
    "evaluator.epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
_SCREENED_PAPER = {
    "data": "blocks:cifar10",
    "trials": 100,
    "sampler.pool": 100,
    "space.blocks": 5,
    "space.cells": 3,
    "space.channels": 24,
    "evaluator.epochs": 25,
    "evaluator.batch_size": 128,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.024,
    "evaluator.weight_decay": 5e-4,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """The search spaces."""
    return [
        Component(
            "nasnet",
            "NASNet cells: normal and reduction cell of B pairwise combinations, loose ends concatenated",
            "nascore_blocks.spaces:NASNetSpace",
            paper="arXiv:1707.07012",
        ),
        Component(
            "darts",
            "DARTS cells: nodes with two distinct inputs, all nodes concatenated",
            "nascore_blocks.spaces:DARTSSpace",
            paper="arXiv:1806.09055",
        ),
        Component(
            "nasbench201",
            "NAS-Bench-201 cells: four nodes, one of five ops on each of six edges",
            "nascore_blocks.nasbench201:NASBench201",
            paper="arXiv:2001.00326",
        ),
        Component(
            "macro",
            "layers in a chain, each one of six ops, with a bit for each skip (ENAS macro)",
            "nascore_blocks.macro:MacroSpace",
            paper="arXiv:1802.03268",
        ),
        Component(
            "mbconv",
            "chains of inverted residual blocks: kernel and expansion of each, or skipped",
            "nascore_blocks.mbconv:MBConvSpace",
            paper="arXiv:1812.00332",
        ),
        Component(
            "choice",
            "cells of choice blocks: one or two inputs summed, one or two ops applied and added",
            "nascore_blocks.choice:ChoiceSpace",
            paper="Bender et al., ICML 2018",
        ),
        Component(
            "layerwise",
            "convolutions in a row: filter size, number and stride of each, with a bit for each skip (NAS)",
            "nascore_blocks.layerwise:LayerwiseSpace",
            paper="arXiv:1611.01578",
        ),
        Component(
            "hierarchical",
            "hierarchical motifs: small graphs whose edges are smaller graphs, down to six ops",
            "nascore_blocks.hierarchical:HierarchicalSpace",
            paper="arXiv:1711.00436",
        ),
        Component(
            "listed",
            "decisions and their options, written down in the settings; for a table of your own",
            "nascore_blocks.table:ListedSpace",
        ),
        Component(
            "recurrent",
            "recurrent cells for language modelling: highway nodes, each with a predecessor and an activation",
            "nascore_blocks.recurrent:RecurrentSpace",
            paper="arXiv:1806.09055",
        ),
    ]


@hookimpl
def nascore_evaluators() -> list[Component]:
    """Training from scratch, and shared weights."""
    return [
        Component("train", "train each network from scratch, validate it", "nascore_blocks.evaluators:Train"),
        Component(
            "zero-cost",
            "score an untrained network: synflow, naswot, jacob_cov, snip, grad_norm or params",
            "nascore_blocks.zerocost:ZeroCost",
            paper="arXiv:2101.08134",
        ),
        Component(
            "table",
            "your own table of architectures and metrics, looked up: CSV, Parquet or npz",
            "nascore_blocks.table:Table",
        ),
        Component(
            "inherit",
            "go on from the parent's weights, transformed; validate",
            "nascore_blocks.inherit:Inherit",
            paper="arXiv:1707.04873",
        ),
        Component(
            "supernet",
            "train one supernet in rounds, judge a network by the weights it shares",
            "nascore_blocks.weight_sharing:SharedWeights",
        ),
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """Two-step search."""
    return [
        Component(
            "screened",
            "the best of a random pool by a score that needs no training",
            "nascore_blocks.screening:Screened",
            paper="arXiv:2101.08134",
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """Two-step search."""
    return [
        Method(
            "screened",
            "two-step search: rank many cells without training, train the best",
            space="blocks:nasnet",
            sampler="blocks:screened",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": _SCREENED_QUICK, "paper": _SCREENED_PAPER},
            paper="arXiv:2101.08134",
            note="Not compared with random search at equal cost. No score here ranks better than the number of "
            "parameters.",
        )
    ]


@hookimpl
def nascore_cost_models() -> list[Component]:
    """Costs on this device."""
    return [
        Component("params", "trainable parameters", "nascore_blocks.costs:Params"),
        Component("macs", "multiply-accumulates of one input", "nascore_blocks.costs:Macs"),
        Component("memory_mib", "peak memory of activations and weights, batch of one", "nascore_blocks.costs:Memory"),
        Component("latency_ms", "measured latency of one input on the device", "nascore_blocks.costs:Latency"),
    ]


@hookimpl
def nascore_datasets() -> list[Component]:
    """Real data."""
    return [
        Component(
            "digits", "1,797 scans of digits, 8x8, 10 classes, inside scikit-learn", "nascore_blocks.data:Digits"
        ),
        Component(
            "text",
            "the next character of CPython's language reference, or of your own text: text:PATH",
            "nascore_blocks.data.text:Text",
        ),
        Component("mnist", "70,000 digits, 28x28, 10 classes", "nascore_blocks.data:MNIST"),
        Component("fashion-mnist", "70,000 garments, 28x28, 10 classes", "nascore_blocks.data:FashionMNIST"),
        Component("cifar10", "60,000 photographs, 3x32x32, 10 classes", "nascore_blocks.data:CIFAR10"),
        Component("cifar100", "60,000 photographs, 3x32x32, 100 classes", "nascore_blocks.data:CIFAR100"),
        Component(
            "user",
            "your own arrays of images and labels: the result of my_data.py:my_data, or the arrays themselves",
            "nascore_blocks.data:UserData",
        ),
        Component("folder", "your own images, one folder a class: folder:PATH", "nascore_blocks.data:ImageFolder"),
    ]


@hookimpl
def nascore_round_finished(search: Search) -> None:
    """Draw the alphas of a sampler that keeps them."""
    if "policy" in search.parts.sampler.provides:
        from nascore_blocks.supernet.picture import write_picture

        write_picture(search)
