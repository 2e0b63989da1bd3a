package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;

/** A function of single numbers that a product applies as it stores. */
public enum Activation {
    /** x itself. */
    NONE(Graft.GRAFT_IDENTITY),
    /** max(x, 0). */
    RELU(Graft.GRAFT_RELU),
    /** 1 / (1 + exp(-x)). */
    SIGMOID(Graft.GRAFT_SIGMOID),
    /** x Phi(x), with the error function (Hendrycks, Gimpel 2016). */
    GELU(Graft.GRAFT_GELU),
    /** GELU approximated by tanh, as GPT-2 has it. */
    GELU_TANH(Graft.GRAFT_GELU_TANH),
    /** x / (1 + exp(-x)), also called swish. */
    SILU(Graft.GRAFT_SILU);

    final int code;

    Activation(int code) {
        this.code = code;
    }
}
