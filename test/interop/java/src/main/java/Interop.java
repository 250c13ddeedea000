import com.google.protobuf.ByteString;
import etcdserverpb.KVGrpc;
import etcdserverpb.LeaseGrpc;
import etcdserverpb.Rpc;
import etcdserverpb.Rpc.PutRequest;
import etcdserverpb.Rpc.RangeRequest;
import etcdserverpb.WatchGrpc;
import io.grpc.CallOptions;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import java.io.File;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * Drives members with grpc-java: {@code Interop TARGET STUCK_TARGET [CA_FILE]}, over TLS given an authority. The second
 * target is a member without a quorum, whose reads wait. Prints one JSON object per case; what the cases are is said in
 * ../README.md.
 */
public final class Interop {
  private static final int STREAMS = 1_000;
  private static final int STREAMED_KEYS = 3_000;
  private static final int LARGEST_REQUEST_BYTES = 1_572_864;
  private static final int PATIENCE_SECONDS = 60;

  private final ManagedChannel channel;
  private final ManagedChannel stuckChannel;
  private final KVGrpc.KVBlockingStub kv;
  private final KVGrpc.KVFutureStub kvLater;
  private final KVGrpc.KVStub kvObserved;
  private final WatchGrpc.WatchStub watches;
  private final LeaseGrpc.LeaseBlockingStub leases;

  private Interop(String target, String stuckTarget, String caFile) throws Exception {
    channel = open(target, caFile);
    stuckChannel = open(stuckTarget, caFile);
    kv = KVGrpc.newBlockingStub(channel);
    kvLater = KVGrpc.newFutureStub(channel);
    kvObserved = KVGrpc.newStub(channel);
    watches = WatchGrpc.newStub(channel);
    leases = LeaseGrpc.newBlockingStub(channel);
  }

  private static ManagedChannel open(String target, String caFile) throws Exception {
    ChannelCredentials credentials =
        caFile == null
            ? InsecureChannelCredentials.create()
            : TlsChannelCredentials.newBuilder().trustManager(new File(caFile)).build();
    return Grpc.newChannelBuilder(target, credentials).maxInboundMessageSize(Integer.MAX_VALUE).build();
  }

  private interface Case {
    void run() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    Interop interop = new Interop(args[0], args[1], args.length > 2 ? args[2] : null);
    Map<String, Case> cases = new LinkedHashMap<>();
    cases.put("unary calls", interop::unary);
    cases.put("errors", interop::errors);
    cases.put("bidirectional streams", interop::bidirectional);
    cases.put("server streams", interop::serverStreams);
    cases.put("cancellation", interop::cancellation);
    cases.put("deadlines", interop::deadlines);
    cases.put("1.5 MiB messages", interop::largeMessages);
    cases.put("1,000 concurrent streams", interop::concurrentStreams);
    for (Map.Entry<String, Case> entry : cases.entrySet()) {
      long startNanos = System.nanoTime();
      String fault = "null";
      try {
        entry.getValue().run();
      } catch (Throwable error) { // Whatever it is, the other cases have something to say.
        fault = quoted(error.toString());
      }
      long milliseconds = (System.nanoTime() - startNanos) / 1_000_000;
      System.out.printf(
          "{\"case\":%s,\"fault\":%s,\"milliseconds\":%d}%n", quoted(entry.getKey()), fault, milliseconds);
    }
    interop.channel.shutdownNow();
    interop.stuckChannel.shutdownNow();
    System.exit(0);
  }

  private void unary() {
    ByteString key = key("unary");
    long revision = kv.put(put(key, bytes("one"))).getHeader().getRevision();
    Rpc.RangeResponse found = kv.range(RangeRequest.newBuilder().setKey(key).build());
    check(found.getKvs(0).getValue().equals(bytes("one")), "the value");
    check(found.getKvs(0).getModRevision() == revision, "the revision");
    Rpc.TxnRequest txn =
        Rpc.TxnRequest.newBuilder()
            .addCompare(
                Rpc.Compare.newBuilder()
                    .setKey(key)
                    .setResult(Rpc.Compare.CompareResult.EQUAL)
                    .setTarget(Rpc.Compare.CompareTarget.VALUE)
                    .setValue(bytes("one")))
            .addSuccess(Rpc.RequestOp.newBuilder().setRequestPut(put(key, bytes("two"))))
            .build();
    check(kv.txn(txn).getSucceeded(), "the first txn");
    check(!kv.txn(txn).getSucceeded(), "the second txn");
    check(kv.deleteRange(Rpc.DeleteRangeRequest.newBuilder().setKey(key).build()).getDeleted() == 1, "the delete");
    kv.withCompression("gzip").put(put(key, zeros(100_000)));
    check(valueOf(key).size() == 100_000, "the compressed one");
  }

  private void errors() {
    PutRequest withLease = PutRequest.newBuilder().setKey(bytes("k")).setLease(12345).build();
    fails(() -> kv.put(withLease), Status.Code.NOT_FOUND, "etcdserver: requested lease not found");
    fails(
        () -> kv.put(PutRequest.getDefaultInstance()),
        Status.Code.INVALID_ARGUMENT,
        "etcdserver: key is not provided");
    MethodDescriptor<PutRequest, Rpc.PutResponse> unknown =
        KVGrpc.getPutMethod().toBuilder().setFullMethodName("etcdserverpb.KV/Nothing").build();
    fails(
        () -> ClientCalls.blockingUnaryCall(channel, unknown, CallOptions.DEFAULT, withLease),
        Status.Code.UNIMPLEMENTED,
        "unknown method Nothing for service etcdserverpb.KV");
  }

  private void bidirectional() throws Exception {
    ByteString key = key("watched");
    Watch watch = new Watch(watches, key);
    for (String value : List.of("1", "2", "3", "4")) {
      // A watch goes on when its client has nothing more to ask.
      if (value.equals("4")) watch.stream.requests.onCompleted();
      kv.put(put(key, bytes(value)));
      check(watch.nextValue().equals(bytes(value)), "the event of " + value);
    }
    watch.cancel();
    long lease = leases.leaseGrant(Rpc.LeaseGrantRequest.newBuilder().setTTL(60).build()).getID();
    Stream<Rpc.LeaseKeepAliveRequest, Rpc.LeaseKeepAliveResponse> keepAlive = new Stream<>();
    LeaseGrpc.newStub(channel).leaseKeepAlive(keepAlive);
    for (int i = 0; i < 3; i++) {
      keepAlive.requests.onNext(Rpc.LeaseKeepAliveRequest.newBuilder().setID(lease).build());
      check(keepAlive.next().getTTL() == 60, "the lease's TTL");
    }
    keepAlive.requests.onCompleted();
    check(keepAlive.next() == null, "the end of the stream");
  }

  private void serverStreams() throws Exception {
    List<ByteString> keys = new ArrayList<>();
    List<Future<Rpc.PutResponse>> puts = new ArrayList<>();
    for (int i = 0; i < STREAMED_KEYS; i++) {
      keys.add(key(String.format("many/%04d", i)));
      puts.add(kvLater.put(put(keys.get(i), zeros(1000))));
    }
    for (Future<?> put : puts) put.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    RangeRequest request = RangeRequest.newBuilder().setKey(key("many/")).setRangeEnd(key("many0")).build();
    List<ByteString> seen = new ArrayList<>();
    int chunks = 0;
    for (Iterator<Rpc.RangeStreamResponse> all = kv.rangeStream(request); all.hasNext(); chunks++) {
      all.next().getRangeResponse().getKvsList().forEach(pair -> seen.add(pair.getKey()));
      if (chunks > 10) Thread.sleep(1);
    }
    check(chunks > 1, "several chunks");
    check(seen.equals(keys), "all keys in order");
    Stream<RangeRequest, Rpc.RangeStreamResponse> left = new Stream<>();
    kvObserved.rangeStream(request, left);
    left.next();
    left.requests.cancel("left in the middle", null);
    fails(left::untilEnd, Status.Code.CANCELLED, null);
  }

  private void cancellation() throws Exception {
    Future<Rpc.RangeResponse> waiting =
        KVGrpc.newFutureStub(stuckChannel).range(RangeRequest.newBuilder().setKey(bytes("k")).build());
    Thread.sleep(300);
    check(!waiting.isDone(), "the read waits");
    check(waiting.cancel(true), "it can be given up");
    Watch watch = new Watch(watches, key("cancelled watch"));
    watch.cancel();
    fails(watch.stream::untilEnd, Status.Code.CANCELLED, null);
  }

  private void deadlines() throws Exception {
    long startNanos = System.nanoTime();
    KVGrpc.KVBlockingStub stuck = KVGrpc.newBlockingStub(stuckChannel);
    fails(
        () ->
            stuck
                .withDeadlineAfter(300, TimeUnit.MILLISECONDS)
                .range(RangeRequest.newBuilder().setKey(bytes("k")).build()),
        Status.Code.DEADLINE_EXCEEDED,
        null);
    Watch watch = new Watch(watches.withDeadlineAfter(300, TimeUnit.MILLISECONDS), bytes("k"));
    fails(watch.stream::untilEnd, Status.Code.DEADLINE_EXCEEDED, null);
    long milliseconds = (System.nanoTime() - startNanos) / 1_000_000;
    check(milliseconds > 500 && milliseconds < 20_000, "the time: " + milliseconds + " ms");
  }

  private void largeMessages() throws Exception {
    ByteString key = key("large");
    PutRequest request = put(key, zeros(LARGEST_REQUEST_BYTES - 200));
    kv.put(request);
    check(valueOf(key).equals(request.getValue()), "the value");
    Watch watch = new Watch(watches, key);
    kv.put(request);
    check(watch.nextValue().equals(request.getValue()), "the event");
    watch.cancel();
    fails(
        () -> kv.put(put(key, zeros(LARGEST_REQUEST_BYTES + 100))),
        Status.Code.INVALID_ARGUMENT,
        "etcdserver: request is too large");
    fails(() -> kv.put(put(key, zeros(4_000_000))), Status.Code.RESOURCE_EXHAUSTED, null);
  }

  private void concurrentStreams() throws Exception {
    List<Watch> open = new ArrayList<>();
    for (int i = 0; i < STREAMS; i++) open.add(Watch.begin(watches, key("stream " + i)));
    for (Watch watch : open) watch.untilCreated();
    List<Future<Rpc.PutResponse>> puts = new ArrayList<>();
    for (int i = 0; i < STREAMS; i++) puts.add(kvLater.put(put(key("stream " + i), bytes("" + i))));
    for (Future<?> put : puts) put.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    for (int i = 0; i < STREAMS; i++) check(open.get(i).nextValue().equals(bytes("" + i)), "the event of " + i);
    for (Watch watch : open) watch.cancel();
    kv.put(put(key("afterwards"), bytes("v")));
  }

  /** A call whose responses are taken one by one. */
  private static final class Stream<Q, A> implements ClientResponseObserver<Q, A> {
    private static final Object END = new Object();
    private final BlockingQueue<Object> received = new LinkedBlockingQueue<>();
    ClientCallStreamObserver<Q> requests;

    @Override
    public void beforeStart(ClientCallStreamObserver<Q> stream) {
      requests = stream;
    }

    @Override
    public void onNext(A answer) {
      received.add(answer);
    }

    @Override
    public void onError(Throwable error) {
      received.add(error);
    }

    @Override
    public void onCompleted() {
      received.add(END);
    }

    /** Null at the end; throws what the call failed with. */
    @SuppressWarnings("unchecked")
    A next() {
      try {
        Object next = received.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
        if (next == null) throw new AssertionError("nothing came");
        if (next instanceof RuntimeException) throw (RuntimeException) next;
        return next == END ? null : (A) next;
      } catch (InterruptedException error) {
        throw new AssertionError(error);
      }
    }

    void untilEnd() {
      while (next() != null) {
        // What comes before the end is of no interest.
      }
    }
  }

  /** A watch of one key. */
  private static final class Watch {
    final Stream<Rpc.WatchRequest, Rpc.WatchResponse> stream = new Stream<>();

    Watch(WatchGrpc.WatchStub stub, ByteString key) {
      this(stub, key, true);
    }

    private Watch(WatchGrpc.WatchStub stub, ByteString key, boolean waits) {
      stub.watch(stream);
      Rpc.WatchCreateRequest create = Rpc.WatchCreateRequest.newBuilder().setKey(key).build();
      stream.requests.onNext(Rpc.WatchRequest.newBuilder().setCreateRequest(create).build());
      if (waits) untilCreated();
    }

    static Watch begin(WatchGrpc.WatchStub stub, ByteString key) {
      return new Watch(stub, key, false);
    }

    void untilCreated() {
      check(stream.next().getCreated(), "the watch is created");
    }

    ByteString nextValue() {
      Rpc.WatchResponse response = stream.next();
      check(response.getEventsCount() == 1, "one event");
      return response.getEvents(0).getKv().getValue();
    }

    void cancel() {
      stream.requests.cancel("no longer needed", null);
    }
  }

  private ByteString valueOf(ByteString key) {
    return kv.range(RangeRequest.newBuilder().setKey(key).build()).getKvs(0).getValue();
  }

  private static void fails(Runnable call, Status.Code code, String description) {
    try {
      call.run();
    } catch (StatusRuntimeException error) {
      Status status = error.getStatus();
      check(status.getCode() == code, code + ", found " + status);
      check(description == null || description.equals(status.getDescription()), description + ", found " + status);
      return;
    }
    throw new AssertionError("no error, instead of " + code);
  }

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError("expected: " + what);
  }

  private static PutRequest put(ByteString key, ByteString value) {
    return PutRequest.newBuilder().setKey(key).setValue(value).build();
  }

  private static ByteString key(String name) {
    return bytes("interop/" + name);
  }

  private static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  private static ByteString zeros(int count) {
    return ByteString.copyFrom(new byte[count]);
  }

  private static String quoted(String text) {
    return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", " ").replace("\t", " ") + "\"";
  }
}
