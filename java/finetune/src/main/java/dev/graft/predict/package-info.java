/**
 * Prediction from the result of fine-tuning: {@link dev.graft.predict.Predictor} needs nothing of what trained it.
 */
package dev.graft.predict;
