package dev.graft.example;

import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Philox;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Session;
import dev.graft.engine.UnavailableException;
import dev.graft.engine.Value;
import java.util.Arrays;

/**
 * Learns factors of users and items from part of their ratings and predicts the rest:
 * rating(u, i) = sum over k of user[u][k] * item[i][k] + bias. The ratings are made up from hidden factors and noise.
 * Prints the error on ratings that were not shown and fails where it is not far below that of guessing the mean. The same on a
 * GPU, where there is one.
 */
public final class RatingFactors {
    private static final int USERS = 60;
    private static final int ITEMS = 40;
    private static final int RANK = 4;
    private static final int BATCH = 64;
    private static final int EPOCHS = 60;
    private static final double RATE = 0.05;
    private static final float NOISE = 0.1f;
    private static final long SEED = 1;

    private RatingFactors() {}

    /** Trains and reports; no arguments. */
    public static void main(String[] args) {
        learn("cpu");
        try {
            Device.check("cuda");
        } catch (UnavailableException e) {
            System.out.println("GPU: skipped, " + e.getMessage());
            return;
        }
        learn("cuda");
    }

    private static void learn(String column) {
        float[] ratings = ratings();
        int[] order = Philox.permutation(Philox.key(SEED, "split"), 0, ratings.length);
        int[] shown = Arrays.copyOf(order, ratings.length * 6 / 10);
        int[] hidden = Arrays.copyOfRange(order, shown.length, order.length);
        Graph graph = graph();
        try (Device device = Device.open(column); Parameters parameters = device.parameters().declare(graph, Origin.HEAD)) {
            parameters.write("users", normal("users", RANK * USERS, 0.3f));
            parameters.write("items", normal("items", RANK * ITEMS, 0.3f));
            parameters.write("sum", ones(RANK));
            parameters.write("bias", new float[1]);
            // "sum" is frozen: it has no gradient, and nothing is computed for one.
            Plan plan = Plan.compile(graph, parameters,
                    PlanOptions.train(BATCH, new Optimizer.AdamW()).train("users", "items", "bias").build());
            train(plan, ratings, shown);
            Plan predictor = Plan.compile(graph, parameters, PlanOptions.eval(BATCH).build());
            double guessed = deviation(ratings, hidden);
            double error = error(predictor, ratings, hidden);
            System.out.printf("%s%nerror on %d hidden ratings: %.3f; guessing the mean: %.3f; noise: %.3f%n",
                    device, hidden.length, error, guessed, NOISE);
            if (!(error < 0.5 * guessed)) {
                throw new IllegalStateException("the factors have not learned the ratings");
            }
        }
    }

    /** user [N, USERS] and item [N, ITEMS] one-hot, rating [N, 1]. */
    private static Graph graph() {
        GraphBuilder g = Graph.builder();
        Value user = g.linear("user.factors", g.input("user", DType.F32, 0, USERS), g.parameter("users", RANK, USERS), null);
        Value item = g.linear("item.factors", g.input("item", DType.F32, 0, ITEMS), g.parameter("items", RANK, ITEMS), null);
        Value rating = g.linear("rating", g.multiply("product", user, item), g.parameter("sum", 1, RANK),
                g.parameter("bias", 1));
        g.mse("loss", rating, g.input("target", DType.F32, 0, 1));
        return g.output("prediction", rating).build();
    }

    private static void train(Plan plan, float[] ratings, int[] shown) {
        int steps = 0;
        int total = EPOCHS * ((shown.length + BATCH - 1) / BATCH);
        for (int epoch = 0; epoch < EPOCHS; epoch++) {
            int[] order = Philox.permutation(Philox.key(SEED, "order"), epoch, shown.length);
            double sum = 0;
            for (int at = 0; at < shown.length; at += BATCH) {
                int rows = Math.min(BATCH, shown.length - at);
                int[] pairs = new int[rows];
                for (int i = 0; i < rows; i++) {
                    pairs[i] = shown[order[at + i]];
                }
                feed(plan, ratings, pairs);
                plan.rate(0, RATE * 0.5 * (1 + Math.cos(Math.PI * steps++ / total)));
                plan.step();
                sum += plan.loss() * rows;
            }
            if (epoch % 20 == 19) {
                System.out.printf("epoch %d: training error %.3f%n", epoch + 1, Math.sqrt(sum / shown.length));
            }
        }
    }

    private static double error(Plan predictor, float[] ratings, int[] pairs) {
        double sum = 0;
        for (int at = 0; at < pairs.length; at += BATCH) {
            int[] part = Arrays.copyOfRange(pairs, at, Math.min(at + BATCH, pairs.length));
            feed(predictor, ratings, part);
            predictor.forward();
            sum += predictor.loss() * part.length;
        }
        return Math.sqrt(sum / pairs.length);
    }

    /** A pair is user * ITEMS + item; rows beyond the pairs are padding. */
    private static void feed(Session session, float[] ratings, int[] pairs) {
        float[] user = new float[BATCH * USERS];
        float[] item = new float[BATCH * ITEMS];
        float[] target = new float[BATCH];
        for (int row = 0; row < pairs.length; row++) {
            user[row * USERS + pairs[row] / ITEMS] = 1;
            item[row * ITEMS + pairs[row] % ITEMS] = 1;
            target[row] = ratings[pairs[row]];
        }
        session.input("user").write(user);
        session.input("item").write(item);
        session.input("target").write(target);
        session.rows(pairs.length);
    }

    private static float[] ratings() {
        float[] users = normal("hidden users", USERS * RANK, 1);
        float[] items = normal("hidden items", ITEMS * RANK, 1);
        float[] noise = normal("noise", USERS * ITEMS, NOISE);
        float[] ratings = new float[USERS * ITEMS];
        for (int pair = 0; pair < ratings.length; pair++) {
            ratings[pair] = 3 + noise[pair];
            for (int k = 0; k < RANK; k++) {
                ratings[pair] += users[pair / ITEMS * RANK + k] * items[pair % ITEMS * RANK + k];
            }
        }
        return ratings;
    }

    private static double deviation(float[] ratings, int[] pairs) {
        double mean = Arrays.stream(pairs).mapToDouble(p -> ratings[p]).average().orElse(0);
        return Math.sqrt(Arrays.stream(pairs).mapToDouble(p -> (ratings[p] - mean) * (ratings[p] - mean)).average().orElse(0));
    }

    private static float[] normal(String name, int count, float deviation) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = deviation * Philox.normal(Philox.key(SEED, name), 0, 0, i);
        }
        return values;
    }

    private static float[] ones(int count) {
        float[] ones = new float[count];
        Arrays.fill(ones, 1);
        return ones;
    }
}
