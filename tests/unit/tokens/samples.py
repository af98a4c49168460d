"""Texts of many kinds, written for these tests: what the estimator of tokens is held against."""

ENGLISH = """\
The ferry left the harbour a little after six, when the fog had already begun to lift from the water. Most of
the passengers stayed inside, where it was warm and the coffee was strong, but an old man with a grey scarf
stood at the rail and watched the gulls. He had made this crossing every autumn for forty years, he said, and
not once had he seen the lighthouse before the second bell. Nobody asked him why he came. There are questions
that a stranger may put only when the weather is bad, and on that morning the sky was turning a pale, hopeful
blue. When the island came into sight he took off his hat, as one does in a church, and waited for the ropes.
"""

ENGLISH_TECHNICAL = """\
A request reserves its estimated cost before it starts and is settled to the real cost afterwards. If the
server dies in between, the reservation expires with its lease, so the budget recovers without an operator.
Every attempt at a provider is one row in the ledger; retries and fallbacks are separate rows that share the
request id. Usage that was not reported by the provider is marked as an estimate and is never added to a bill
without saying so. Configuration is read once at start: an unknown variable is an error, not a warning.
"""

GERMAN = """\
Der Zug nach Freiburg hatte wie so oft Verspätung, und auf dem Bahnsteig standen die Reisenden dicht gedrängt
unter dem schmalen Dach, weil es seit dem frühen Morgen regnete. Eine junge Frau versuchte, ihrem Sohn die
Anzeigetafel zu erklären, doch der Junge interessierte sich viel mehr für die Tauben, die zwischen den Koffern
nach Krümeln suchten. Als die Durchsage endlich kam, verstand niemand ein Wort. „Vermutlich eine
Signalstörung“, sagte ein Herr mit Aktentasche, der offenbar jeden Tag diese Strecke fuhr und sich über nichts
mehr wunderte. Zwanzig Minuten später rollte der Zug ein, überfüllt und beschlagen, aber immerhin geheizt.
"""

GERMAN_TECHNICAL = """\
Die Abrechnung erfolgt nach den tatsächlich verbrauchten Einheiten. Liegt keine Rückmeldung des Anbieters vor,
wird der Verbrauch geschätzt und als Schätzung gekennzeichnet; eine solche Schätzung darf niemals
stillschweigend in Rechnung gestellt werden. Bei einem Verbindungsabbruch wird die bis dahin empfangene
Textmenge berücksichtigt. Die Aufbewahrungsfrist für Protokolldaten beträgt neunzig Tage, sofern keine
gesetzlichen Vorschriften entgegenstehen. Änderungen der Konfiguration werden erst nach einem Neustart
wirksam.
"""

JAPANESE = """\
昨日の夕方、駅前の古い本屋に寄ったら、店の主人が窓辺の椅子に座って猫をなでていた。雨が降りそうな空模様で、客は
私ひとりだった。棚の奥に、子どものころ祖母の家で読んだ絵本と同じものを見つけて、思わず声を上げてしま
った。主人は
笑って、その本はもう三十年もそこにあるのだと言った。値段を聞くと、少し考えてから、気に入った人に読ん
でもらえれば
それでいいと答えた。外に出ると、ちょうど最初の雨粒が落ちてきた。私は本を上着の下に入れて、急いで家まで走った。
"""

JAPANESE_TECHNICAL = """\
サーバーは起動時に設定を読み込み、不明な項目があればエラーとして終了します。リクエストごとに一意の識別子
が付与され、
ログと応答ヘッダーの両方に記録されます。プロバイダーが使用量を報告しない場合は、受信したテキストから推定
し、推定値で
あることを明示します。接続が途中で切れたときも、それまでに届いた分は必ず台帳に残ります。再試行は最初のデータが
届く前に限られ、同じ要求が二重に請求されることはありません。
"""

CHINESE = """\
老街的尽头有一家小茶馆,木门上的漆已经掉了大半,可是每天清晨总有人在门口等着开门。掌柜姓陈,今年七十多岁
,说话很慢,
泡茶却从不马虎。他说水要用山上的泉水,火不能太急,第一泡只是为了叫醒茶叶。去年冬天下大雪,城里很多店都关了门,只有
他照常点起炉子,给扫雪的人每人倒了一碗热茶。有人问他为什么不休息,他笑了笑,说习惯了,一天不听见水开的声
音就睡不着。
"""

KOREAN = """\
산 아래 작은 마을에는 우체국이 하나밖에 없어서, 사람들은 편지를 부치러 갈 때마다 이웃을 만나게 된다.
우체국장은 마을
사람들의 이름을 모두 알고 있고, 누가 어디에 있는 자식에게 편지를 쓰는지도 기억한다. 지난겨울에는 눈이 너무
많이 와서
버스가 사흘이나 다니지 못했지만, 그는 걸어서 소포를 전해 주었다. 봄이 오자 사람들은 고마운 마음에 우체국
앞마당에
사과나무 한 그루를 심었다.
"""

RUSSIAN = """\
Поезд остановился на маленькой станции, названия которой никто не успел прочитать. В вагоне было тихо, только
за окном скрипел снег под чьими-то шагами, да проводница звенела стаканами. Старик у окна достал из сумки
яблоко, разрезал его пополам и одну половину молча протянул соседу. Тот поблагодарил и рассказал, что едет к
сестре, которую не видел двадцать лет. Когда поезд тронулся, оба ещё долго смотрели на огни деревни.
"""

FRENCH = """\
Au bout de la rue, la boulangère ouvrait ses volets avant l'aube, et l'odeur du pain chaud réveillait le
quartier bien avant les cloches. Les habitués entraient sans dire un mot, posaient une pièce sur le
comptoir et
repartaient avec leur baguette sous le bras. Ce matin-là, pourtant, un inconnu demanda s'il pouvait rester un
moment près du four, parce qu'il avait marché toute la nuit et qu'il ne sentait plus ses doigts.
"""

SPANISH = """\
La plaza estaba casi vacía a esa hora de la tarde, cuando el calor obligaba a todos a quedarse dentro de las
casas. Solo un perro dormía a la sombra de la fuente, y de vez en cuando levantaba una oreja, como si esperara
a alguien. Desde el balcón, doña Mercedes contaba los minutos que faltaban para que llegara el autobús con su
nieta, a la que no veía desde hacía más de un año por culpa de los estudios y de la distancia.
"""

ARABIC = """\
كان السوق القديم يستيقظ قبل شروق الشمس، فتُفتح الأبواب الخشبية واحدًا بعد الآخر وتنتشر رائحة القهوة والهيل في
الأزقة الضيقة. جلس بائع الكتب أمام دكانه يقرأ كعادته، ولم يرفع رأسه إلا حين سأله طفل صغير عن ثمن كتاب مصوّر.
ابتسم الرجل وقال إن الكتاب هدية لمن يعد بأن يعيده بعد أن يقرأه، فركض الطفل إلى بيته مسرعًا وهو يضحك.
"""

PYTHON = '''\
class Window:
    """Counts events of the last `seconds`; older ones are forgotten when somebody asks."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._events: deque[tuple[float, int]] = deque()
        self._total = 0

    def add(self, count: int = 1) -> None:
        if count < 0:
            raise ValueError(f"count must not be negative, got {count}")
        self._events.append((self._clock(), count))
        self._total += count

    def total(self) -> int:
        horizon = self._clock() - self._seconds
        while self._events and self._events[0][0] < horizon:
            _, count = self._events.popleft()
            self._total -= count
        return self._total
'''

TYPESCRIPT = """\
export async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8");
  const reader = stream.getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += decoder.decode(value, { stream: true });
      const lines = rest.split("\\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield line.trimEnd();
    }
    if (rest.length > 0) yield rest;
  } finally {
    reader.releaseLock();
  }
}
"""

JSON_PRETTY = """\
{
  "id": "ord_20417",
  "created_at": "2026-03-14T09:26:53Z",
  "customer": {"name": "Ada Brandt", "email": "ada@example.org", "vip": false},
  "items": [
    {"sku": "KB-104-DE", "title": "Mechanical keyboard", "quantity": 1, "unit_price": 129.9},
    {"sku": "CB-USB-C2", "title": "Cable, two metres", "quantity": 3, "unit_price": 8.45}
  ],
  "shipping": {"method": "standard", "street": "Lindenweg 12", "city": "Bremen", "postal_code": "28195"},
  "discount_code": null,
  "total": 155.25
}
"""

JSON_COMPACT = (
    '{"type":"object","properties":{"city":{"type":"string","description":"Name of the city"},"days":{"type":'
    '"integer","minimum":1,"maximum":14},"units":{"enum":["metric","imperial"]},"hourly":{"type":"boolean"}},'
    '"required":["city","days"],"additionalProperties":false,"title":"Forecast","$id":"urn:example:forecast"}'
)

MARKDOWN = """\
## Settings

| Name | Default | Meaning |
|---|---|---|
| `port` | 8080 | where the service listens |
| `timeout_s` | 30 | seconds until a request is given up |
| `retries` | 3 | attempts after the first one |

1. Copy `config.example.yaml` to `config.yaml`.
2. Set **port** and *timeout_s*; see [the reference](docs/reference.md#settings).
3. Run `make start` and open <http://localhost:8080/health>.
"""

LOG = """\
2026-03-14 09:26:53,589 INFO  [worker-3] request 7f3a9c1e finished status=200 bytes=18342 latency_ms=412
2026-03-14 09:26:54,011 WARN  [worker-1] retry 2/3 for http://10.0.4.17:9000/v1/items?page=14 after 0.75s
2026-03-14 09:26:54,870 ERROR [worker-1] connection reset by peer (errno 104) at pool.py:218 in _acquire
"""

SAMPLES = {
    name.lower(): text for name, text in list(globals().items()) if name.isupper() and isinstance(text, str)
}
