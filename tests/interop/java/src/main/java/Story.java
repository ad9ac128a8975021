// What a program with the official Java client does, chapter by chapter, against the server in PUBSUB_EMULATOR_HOST.
//
//     PUBSUB_EMULATOR_HOST=127.0.0.1:8085 java -cp 'target/classes:target/dependency/*' Story [CHAPTER...]
//
// Each chapter has topics and subscriptions of its own (project SLUICE_PROJECT) and prints "ok NAME" or "FAIL NAME: why".
// The chapters run at the same time; survives-restart runs last and alone, and only with SLUICE_RESTART: it prints a line
// "RESTART" when it wants the server killed and started again with the same port and data.
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.logging.LogManager;

public final class Story {
  private interface Chapter {
    void run() throws Exception;
  }

  private static final String LAST = "survives-restart";
  private static final Map<String, Chapter> chapters = new LinkedHashMap<>();
  private static final AtomicBoolean failed = new AtomicBoolean();

  static {
    chapters.put("publishes-batched", Publishing::publishesBatched);
    chapters.put("thousand-in-one-request", Publishing::thousandInOneRequest);
    chapters.put("nine-megabyte-message", Publishing::nineMegabyteMessage);
    chapters.put("filtered", Publishing::filtered);
    chapters.put("ordered", Ordering::ordered);
    chapters.put("ack-and-nack", Delivery::ackAndNack);
    chapters.put("exactly-once", ExactlyOnce::exactlyOnce);
    chapters.put("dead-letters", Delivery::deadLetters);
    chapters.put("flow-control", Delivery::flowControl);
    chapters.put("unary-pull", Delivery::unaryPull);
    chapters.put("seek-and-snapshot", Replay::seekAndSnapshot);
    chapters.put("errors", Errors::errors);
    chapters.put("update-and-list", Resources::updateAndList);
    chapters.put("idle-a-minute", Endurance::idleAMinute);
    chapters.put("clean-shutdown", Endurance::cleanShutdown);
    chapters.put(LAST, Endurance::survivesRestart);
  }

  public static void main(String[] arguments) throws InterruptedException {
    LogManager.getLogManager().reset(); // The client warns of every refusal, and refusals are a part of the story.
    List<String> unknown = Arrays.stream(arguments).filter(name -> !chapters.containsKey(name)).toList();
    if (!unknown.isEmpty()) cannotBegin("no such chapter: " + String.join(", ", unknown));
    if (System.getenv("PUBSUB_EMULATOR_HOST") == null) cannotBegin("PUBSUB_EMULATOR_HOST is not set");
    Collection<String> names = arguments.length > 0 ? List.of(arguments) : chapters.keySet();
    runTogether(names.stream().filter(name -> !name.equals(LAST)).toList());
    if (names.contains(LAST)) run(LAST);
    System.exit(failed.get() ? 1 : 0);
  }

  private static void cannotBegin(String why) {
    System.err.println(why);
    System.exit(1);
  }

  private static void runTogether(List<String> names) throws InterruptedException {
    List<Thread> threads = names.stream().map(name -> new Thread(() -> run(name), name)).toList();
    threads.forEach(Thread::start);
    for (Thread thread : threads) thread.join();
  }

  private static void run(String name) {
    if (name.equals(LAST) && System.getenv("SLUICE_RESTART") == null) {
      Stage.say("skip " + name);
      return;
    }
    try {
      chapters.get(name).run();
      Stage.say("ok " + name);
    } catch (Throwable error) {
      failed.set(true);
      Stage.say("FAIL " + name + ": " + why(error));
    }
  }

  private static String why(Throwable error) {
    Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
    String line = (cause instanceof AssertionError ? cause.getMessage() : cause.toString()).replaceAll("\\s+", " ");
    return line.substring(0, Math.min(line.length(), 2_000));
  }
}
