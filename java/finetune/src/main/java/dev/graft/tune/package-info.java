/**
 * Methods of fine-tuning as pure functions: a {@link dev.graft.tune.Method} says what trains at which stage, of the network as it is
 * or with what the method adds to it; a {@link dev.graft.tune.Stage} works it out to the last tensor with its rate, decay and anchor.
 */
package dev.graft.tune;
