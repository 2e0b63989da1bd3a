package dev.graft.train;

/**
 * What an epoch came to.
 *
 * @param epoch from 1
 * @param stage of the method, from 0
 * @param rate of the last update, before multipliers
 * @param loss mean training loss, as optimised
 * @param accuracy share of training pictures that were right when they were trained on
 * @param valLoss mean loss on the validation split; null without one
 * @param valAccuracy accuracy there; null without one
 * @param seconds of the epoch, evaluation included
 * @param loaderWaitSeconds of these, time in which the engine had to wait for pictures
 */
public record EpochRecord(int epoch, int stage, double rate, double loss, double accuracy, Double valLoss, Double valAccuracy,
                          double seconds, double loaderWaitSeconds) {
}
