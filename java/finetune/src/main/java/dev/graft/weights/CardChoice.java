package dev.graft.weights;

import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Which preprocessing card holds for a weight file. The first of these that is there: the card in the file's metadata, the
 * table of {@linkplain KnownFiles known files}, the model's default; over it the keys that the user gave by file and, over
 * these, by options.
 */
public final class CardChoice {
    private CardChoice() {
    }

    /**
     * Chooses the card; its origin says where each part comes from.
     *
     * @param options      keys given as options; {@link CardKeys#NONE} for none
     * @param preprocess   a JSON file with keys, or null
     * @param weights      the opened weight file, or null for training from scratch
     * @param modelDefault the card of the model
     * @throws WeightsException         if a file or its metadata holds no valid keys, or its values do not go together
     * @throws IllegalArgumentException if those of the options do not go together with the rest
     */
    public static Card of(CardKeys options, Path preprocess, WeightFile weights, Card modelDefault) {
        Card card = weights == null ? modelDefault : ofFile(weights, modelDefault);
        if (preprocess != null) {
            try {
                card = card.with(CardKeys.read(preprocess), preprocess.toString());
            } catch (IllegalArgumentException e) {
                throw new WeightsException(preprocess + ": " + e.getMessage(), e);
            }
        }
        try {
            return card.with(options, "options");
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("preprocessing options: " + e.getMessage(), e);
        }
    }

    private static Card ofFile(WeightFile weights, Card modelDefault) {
        String stored = weights.metadata().get(Card.METADATA_KEY);
        if (stored != null) {
            String where = weights.path() + ", metadata " + Card.METADATA_KEY;
            return CardKeys.parse(stored, where).card(where);
        }
        KnownFiles.KnownFile known = Files.isRegularFile(weights.path()) ? KnownFiles.find(weights.path()) : null;
        return known == null ? modelDefault : known.card();
    }
}
