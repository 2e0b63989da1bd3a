/**
 * The engine: graphs, parameters and compiled training plans, for image models and any other JVM code.
 *
 * <p>A {@link dev.graft.engine.Graph} of records says what is computed, {@link dev.graft.engine.Parameters} hold what is
 * learned, {@link dev.graft.engine.Plan#compile} makes of both, and of what is trainable, a flat list of kernel calls, and
 * {@link dev.graft.engine.Session#step} runs it in one native call.
 *
 * <pre>{@code
 * GraphBuilder g = Graph.builder();
 * Value x = g.input("x", DType.F32, 0, 8);
 * Value y = g.linear("fc", x, g.parameter("fc.weight", 1, 8), g.parameter("fc.bias", 1));
 * g.mse("loss", y, g.input("target", DType.F32, 0, 1));
 * Graph graph = g.build();
 * try (Device device = Device.open("cpu"); Parameters parameters = device.parameters().declare(graph, Origin.HEAD)) {
 *     parameters.write("fc.weight", weights);
 *     parameters.write("fc.bias", new float[1]);
 *     Plan plan = Plan.compile(graph, parameters,
 *             PlanOptions.train(32, new Optimizer.Sgd(0.9, false)).train("fc.weight", "fc.bias").build());
 *     plan.rate(0, 0.01);
 *     plan.input("x").write(rows);
 *     plan.input("target").write(targets);
 *     plan.step();
 *     System.out.println(plan.loss());
 * }
 * }</pre>
 *
 * <p>Exceptions are unchecked: {@link java.lang.IllegalArgumentException} names what was wrong with an argument,
 * {@link java.lang.IllegalStateException} a use after close or from two threads at once, and
 * {@link dev.graft.engine.EngineException} and its kinds all else.
 */
package dev.graft.engine;
