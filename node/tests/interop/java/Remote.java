// Stock Java clients that do what js/support/remote.mjs tells them, a line of JSON each on standard input and output.

import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Socket;
import io.socket.emitter.Emitter;
import io.socket.engineio.client.Transport;
import io.socket.parser.Packet;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

public class Remote {
    private static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final Map<String, Socket> sockets = new ConcurrentHashMap<>();
    private static final Map<Integer, Ack> acks = new ConcurrentHashMap<>();
    private static final AtomicInteger lastAck = new AtomicInteger();
    private static int version;

    public static void main(String[] args) throws Exception {
        version = Integer.parseInt(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JSONObject order = new JSONObject(line);
            try {
                obey(order);
            } catch (Exception error) {
                answer(order, "error", new JSONObject().put("message", String.valueOf(error)));
            }
        }
        System.exit(0);
    }

    private static void obey(JSONObject order) throws Exception {
        String client = order.getString("client");
        Socket socket = sockets.get(client);
        switch (order.getString("do")) {
            case "open" -> open(client, order);
            case "echo" -> echo(order);
            case "emit" -> socket.emit(order.getString("event"), list(order));
            case "call" -> socket.emit(order.getString("event"), list(order), answer -> answer(order, "ok", array(answer)));
            case "answer" -> {
                String event = order.getString("event");
                socket.off(event);
                socket.on(event, given -> asked(client, event, given));
            }
            case "ack" -> acks.remove(order.getInt("ack")).call(list(order));
            case "close" -> {
                socket.disconnect();
                answer(order, "ok", true);
            }
            default -> throw new IllegalArgumentException(order.toString());
        }
    }

    private static void open(String client, JSONObject order) throws Exception {
        IO.Options options = new IO.Options();
        options.forceNew = true;
        options.reconnection = false;
        options.transports = strings(order.getJSONArray("transports"));
        options.query = order.optString("query", null);
        JSONObject auth = order.optJSONObject("auth");
        if (auth != null && version > 1) {
            // It says that it wants text, and takes anything.
            Map<String, Object> map = new ConcurrentHashMap<>();
            for (Iterator<?> keys = auth.keys(); keys.hasNext(); ) {
                String key = (String) keys.next();
                map.put(key, auth.get(key));
            }
            IO.Options.class.getField("auth").set(options, map);
        }
        String namespace = order.getString("namespace");
        Socket socket = IO.socket(order.getString("url") + namespace, options);
        sockets.put(client, socket);
        JSONObject headers = order.optJSONObject("headers");
        if (headers != null) addHeaders(socket, headers);
        // Neither version can listen to every event.
        socket.io().on("packet", given -> {
            Packet<?> packet = (Packet<?>) given[0];
            if ((packet.type == 2 || packet.type == 5) && packet.id < 0 && namespace.equals(packet.nsp)) {
                say(message(client).element("heard", encode(packet.data)));
            }
        });
        socket.on(Socket.EVENT_DISCONNECT, given -> say(message(client).element("gone", String.valueOf(given[0]))));
        socket.once(Socket.EVENT_CONNECT, given -> answer(order, "ok", socket.id()));
        // The second is version 1's name for a refusal.
        for (String refused : new String[] {Socket.EVENT_CONNECT_ERROR, "error"}) {
            socket.once(refused, given -> answer(order, "error", reason(given[0])));
        }
        socket.connect();
    }

    private static void addHeaders(Socket socket, JSONObject headers) {
        socket.io().on("transport", given -> ((Transport) given[0]).on(Transport.EVENT_REQUEST_HEADERS, request -> {
            @SuppressWarnings("unchecked")
            Map<String, List<String>> lines = (Map<String, List<String>>) request[0];
            for (Iterator<?> keys = headers.keys(); keys.hasNext(); ) {
                String key = (String) keys.next();
                lines.put(key, List.of(headers.optString(key)));
            }
        }));
    }

    /** Engine.IO alone: sends messages, one after the echo of the other, and answers with the echoes. */
    private static void echo(JSONObject order) throws Exception {
        io.socket.engineio.client.Socket.Options options = new io.socket.engineio.client.Socket.Options();
        options.path = order.getString("path");
        options.transports = strings(order.getJSONArray("transports"));
        io.socket.engineio.client.Socket socket = new io.socket.engineio.client.Socket(order.getString("url"), options);
        Object[] messages = list(order);
        JSONArray echoes = new JSONArray();
        Runnable next = () -> {
            Object message = messages[echoes.length()];
            if (message instanceof byte[] bytes) socket.send(bytes);
            else socket.send((String) message);
        };
        Emitter.Listener ready = given -> {
            socket.on("message", echo -> {
                echoes.put(encode(echo[0]));
                if (echoes.length() < messages.length) {
                    next.run();
                    return;
                }
                socket.close();
                answer(order, "ok", echoes);
            });
            next.run();
        };
        socket.once(options.transports.length > 1 ? "upgrade" : "open", ready);
        socket.once("error", given -> answer(order, "error", reason(given[0])));
        socket.open();
    }

    private static void asked(String client, String event, Object[] given) {
        if (given.length == 0 || !(given[given.length - 1] instanceof Ack)) return;
        int number = lastAck.incrementAndGet();
        acks.put(number, (Ack) given[given.length - 1]);
        Object[] args = java.util.Arrays.copyOf(given, given.length - 1);
        say(message(client).element("asked", event).element("args", array(args)).element("ack", number));
    }

    private static JSONObject reason(Object given) {
        if (given instanceof JSONObject object) return object;
        JSONObject reason = new JSONObject();
        String message = given instanceof Exception error ? error.getMessage() : String.valueOf(given);
        try {
            return reason.put("message", message);
        } catch (JSONException error) {
            return reason;
        }
    }

    // === lines ===

    /** An object whose members are added without a checked exception. */
    private static final class Line extends JSONObject {
        Line element(String key, Object value) {
            try {
                put(key, value);
            } catch (JSONException error) {
                throw new IllegalStateException(error);
            }
            return this;
        }
    }

    private static Line message(String client) {
        return new Line().element("client", client);
    }

    private static void answer(JSONObject order, String kind, Object value) {
        if (order.has("id")) say(new Line().element("id", order.opt("id")).element(kind, value));
    }

    private static synchronized void say(JSONObject line) {
        out.println(line);
    }

    private static String[] strings(JSONArray array) throws JSONException {
        String[] strings = new String[array.length()];
        for (int i = 0; i < strings.length; i++) strings[i] = array.getString(i);
        return strings;
    }

    private static Object[] list(JSONObject order) throws JSONException {
        JSONArray array = order.getJSONArray("args");
        Object[] list = new Object[array.length()];
        for (int i = 0; i < list.length; i++) list[i] = decode(array.get(i));
        return list;
    }

    private static JSONArray array(Object[] list) {
        JSONArray array = new JSONArray();
        for (Object item : list) array.put(encode(item));
        return array;
    }

    /** Bytes travel as {"$bytes": base64}. */
    private static Object decode(Object value) throws JSONException {
        if (value instanceof JSONArray array) {
            JSONArray copy = new JSONArray();
            for (int i = 0; i < array.length(); i++) copy.put(decode(array.get(i)));
            return copy;
        }
        if (!(value instanceof JSONObject object)) return value;
        if (object.has("$bytes")) return Base64.getDecoder().decode(object.getString("$bytes"));
        JSONObject copy = new JSONObject();
        for (Iterator<?> keys = object.keys(); keys.hasNext(); ) {
            String key = (String) keys.next();
            copy.put(key, decode(object.get(key)));
        }
        return copy;
    }

    private static Object encode(Object value) {
        if (value instanceof byte[] bytes) return new Line().element("$bytes", Base64.getEncoder().encodeToString(bytes));
        if (value instanceof JSONArray array) {
            JSONArray copy = new JSONArray();
            for (int i = 0; i < array.length(); i++) copy.put(encode(array.opt(i)));
            return copy;
        }
        if (!(value instanceof JSONObject object)) return value == null ? JSONObject.NULL : value;
        Line copy = new Line();
        for (Iterator<?> keys = object.keys(); keys.hasNext(); ) {
            String key = (String) keys.next();
            copy.element(key, encode(object.opt(key)));
        }
        return copy;
    }
}
