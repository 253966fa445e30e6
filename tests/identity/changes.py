"""Changes of a network: its weights, its parts, what it holds."""

from __future__ import annotations

#: What the network is, and what is done to it: Python in its own module, and in the test.
OF_THE_NETWORK: dict[str, tuple[str, str]] = {
    # weights
    "one value": ("", "net.conv.weight.data[0, 0, 0, 0] += 1"),
    "a value through numpy": ("", "net.fc.weight.data.numpy()[1, 2] *= -1"),
    "two signs": ("", "net.fc.weight.data[0, :2].neg_()"),
    "every other sign": ("", "net.fc.weight.data[:, 1::2].neg_()"),
    "two rows exchanged": ("", "net.fc.weight.data[:2] = net.fc.weight.data[:2].flip(0).clone()"),
    "two words exchanged": ("", "net.fc.weight.data[0, :2] = net.fc.weight.data[0, :2].flip(0)"),
    "the lowest bit": (
        "",
        "net.fc.bias.data.view(torch.int32)[:] ^= 1; net.fc.bias.data.mul_(1.0)",
    ),
    "a bias": ("", "net.fc.bias.data[3] = 9"),
    "no bias": ("", "net.fc.bias = None"),
    "a buffer": ("", "net.norm.running_mean[0] -= 1"),
    "a buffer that is not saved": (
        "class Net(Base):\n"
        "    def prepare(self): self.register_buffer('k', torch.ones(1), persistent=False)\n"
        "    def before(self, x): return x * self.k",
        "net.k += 1",
    ),
    "a new state dict": (
        "",
        "net.load_state_dict({k: v + 1 for k, v in net.state_dict().items()})",
    ),
    "a parameter in another's place": (
        "",
        "net.fc.weight = nn.Parameter(torch.ones_like(net.fc.weight))",
    ),
    "another precision": ("", "net.to(torch.bfloat16)"),
    "a tensor that is no parameter": (
        "class Net(Base):\n"
        "    def prepare(self): self.k = torch.ones(3, 1, 1)\n"
        "    def before(self, x): return x * self.k",
        "net.k[1] = 4",
    ),
    "a tensor in a list": (
        "class Net(Base):\n"
        "    def prepare(self): self.k = [torch.ones(1)]\n"
        "    def before(self, x): return x * self.k[0]",
        "net.k[0].add_(1)",
    ),
    "a network in a list": (
        "class Net(Base):\n"
        "    def prepare(self): self.hidden = [nn.Conv2d(3, 3, 1)]\n"
        "    def before(self, x): return self.hidden[0](x)",
        "net.hidden[0].weight.data.add_(1)",
    ),
    "the mode of a network in a list": (
        "class Net(Base):\n"
        "    def prepare(self): self.hidden = [nn.BatchNorm2d(3).eval()]\n"
        "    def before(self, x): return self.hidden[0](x)",
        "net.hidden[0].train()",
    ),
    "an attribute of a parameter": (
        "class Net(Base):\n"
        "    def prepare(self): self.fc.weight.k = 1.0\n"
        "    def before(self, x): return x * self.fc.weight.k",
        "net.fc.weight.k = 3.0",
    ),
    # parts
    "an attribute of torch's": ("", "net.norm.eps = 1.0"),
    "a stride": ("", "net.conv.stride = (1, 1)"),
    "another part": ("", "net.relu = nn.Tanh()"),
    "a part more": ("", "net.relu = nn.Sequential(nn.ReLU(), nn.Tanh())"),
    "another class of a part": ("", "net.relu.__class__ = nn.Tanh"),
    "padding": ("", "net.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode='circular')"),
    "a parametrization": (
        "class Double(nn.Module):\n    def forward(self, w): return 2 * w",
        "nn.utils.parametrize.register_parametrization(net.fc, 'weight', lab['net'].Double())",
    ),
    "code of a parametrization": (
        "class Times(nn.Module):\n    def forward(self, w): return ops.act(w)\n"
        "class Net(Base):\n    def prepare(self):\n"
        "        nn.utils.parametrize.register_parametrization(self.fc, 'weight', Times())",
        "lab['ops'].act = torch.sin",
    ),
    # hooks and methods put in place
    "a forward hook": ("", "net.conv.register_forward_hook(double)"),
    "a forward hook of a lambda": ("", "net.conv.register_forward_hook(lambda m, i, o: 2 * o)"),
    "a forward pre-hook": ("", "net.fc.register_forward_pre_hook(double_input)"),
    "a hook with keywords": (
        "",
        "net.fc.register_forward_hook(lambda m, a, k, o: 2 * o, with_kwargs=True)",
    ),
    "a hook that is removed": (
        "class Net(Base):\n"
        "    def prepare(self): self.handle = self.conv.register_forward_hook(twice)\n"
        "def twice(module, args, output): return 2 * output",
        "net.conv._forward_hooks.clear()",
    ),
    "a method of the object": ("", "net.before = torch.sin"),
    "a method bound to the object": ("", "net.before = types.MethodType(bound, net)"),
    "forward of the object": ("", "net.relu.forward = torch.sin"),
    "a method of the class": ("", "patch(type(net), 'before', sine_of)"),
    "a method of the base class": ("", "patch(lab['net'].Base, 'before', sine_of)"),
    "a method of a class of torch's": ("", "patch(nn.ReLU, 'forward', sine_of)"),
    "torch's method from another class": ("", "patch(nn.ReLU, 'forward', nn.Tanh.forward)"),
    "a function of torch's": ("", "patch(torch.nn.functional, 'relu', own_relu)"),
    "torch's function from another": (
        "",
        "patch(torch.nn.functional, 'relu', torch.nn.functional.selu)",
    ),
    "a function of torch's that is called": (
        "class Net(Base):\n    def before(self, x): return torch.sin(x)",
        "patch(torch, 'sin', torch.cos)",
    ),
    "a function of torch's made one's own": (
        "class Net(Base):\n    def before(self, x): return F.softplus(x)",
        "patch(torch.nn.functional, 'softplus', own_relu)",
    ),
    "a method of tensors": (
        "class Net(Base):\n    def before(self, x): return x.sin()",
        "patch(torch.Tensor, 'sin', own_relu)",
    ),
    # values of the network
    **{
        f"an attribute: {kind}": (
            f"class Net(Base):\n    def prepare(self): self.k = {first}\n"
            f"    def before(self, x): return x * {use}",
            f"net.k = {second}",
        )
        for kind, first, second, use in [
            ("a number", "1.0", "2.0", "self.k"),
            ("a whole number or another", "True", "5", "self.k"),
            ("zeros of two signs", "0.0", "-0.0", "float(np.copysign(1, self.k))"),
            ("complex", "1 + 0j", "3 + 0j", "self.k.real"),
            ("text", "'sin'", "'cos'", "getattr(torch, self.k)(x)"),
            ("bytes", "b'a'", "b'b'", "self.k[0]"),
            ("nothing", "None", "2", "(self.k or 1)"),
            ("a tuple", "(1, (2,))", "(1, (3,))", "self.k[1][0]"),
            ("a set", "{1, 2}", "{1, 3}", "sum(self.k)"),
            ("a dict", "{'a': {'b': 1}}", "{'a': {'b': 2}}", "self.k['a']['b']"),
            ("order of a dict", "dict(a=1, b=2)", "dict(b=2, a=1)", "next(iter(self.k.values()))"),
            ("an array", "np.ones(1)", "2 * np.ones(1)", "float(self.k[0])"),
            (
                "an array of objects",
                "np.array([1, 'a'], object)",
                "np.array([2, 'a'], object)",
                "self.k[0]",
            ),
            ("a slice", "slice(0, 1)", "slice(0, 2)", "len(range(9)[self.k])"),
            (
                "a partial",
                "functools.partial(torch.mul, other=1)",
                "functools.partial(torch.mul, other=3)",
                "self.k(x)",
            ),
            (
                "a path through numbers",
                "operator.itemgetter(0)",
                "operator.itemgetter(1)",
                "self.k([1, 2])",
            ),
            ("an iterator", "iter([1] * 99)", "iter([2] * 99)", "next(copy.copy(self.k))"),
            ("a deque", "collections.deque([1])", "collections.deque([2])", "self.k[0]"),
            (
                "a default",
                "collections.defaultdict(int)",
                "collections.defaultdict(lambda: 3)",
                "(1 + self.k['a'])",
            ),
            (
                "a namespace",
                "types.SimpleNamespace(k=1)",
                "types.SimpleNamespace(k=2)",
                "self.k.k",
            ),
            (
                "random numbers",
                "random.Random(0)",
                "random.Random(1)",
                "(1 + 9 * copy.copy(self.k).random())",
            ),
            (
                "a generator of numpy",
                "np.random.default_rng(0)",
                "np.random.default_rng(1)",
                "(1 + 9 * copy.deepcopy(self.k).random())",
            ),
            ("a built-in method", "[1].index", "[0, 1].index", "(1 + self.k(1))"),
            ("a type of number", "torch.float32", "torch.uint8", "x.to(self.k)"),
        ]
    },
    **{
        f"inside: {kind}": (
            f"{kinds}\nclass Net(Base):\n    def prepare(self): self.c = {make}\n"
            f"    def before(self, x): return x * {use}",
            change,
        )
        for kind, kinds, make, use, change in [
            ("an object", "class K: pass", "K(); self.c.k = 1", "self.c.k", "net.c.k = 2"),
            (
                "slots",
                "class K: __slots__ = ('k',)",
                "K(); self.c.k = 1",
                "self.c.k",
                "net.c.k = 2",
            ),
            (
                "slots of a base",
                "class S: __slots__ = ('k',)\nclass K(S): pass",
                "K(); self.c.k = 1",
                "self.c.k",
                "net.c.k = 2",
            ),
            (
                "a private slot",
                "class K:\n    __slots__ = ('__k',)\n    def __init__(s): s.__k = 1\n"
                "    def get(s): return s.__k",
                "K()",
                "self.c.get()",
                "net.c._K__k = 2",
            ),
            *[
                (
                    f"an attribute of a subclass of {base}",
                    f"class K({base}): pass",
                    "K(); self.c.k = 1",
                    "self.c.k",
                    "net.c.k = 2",
                )
                for base in (
                    "float",
                    "int",
                    "str",
                    "bytes",
                    "list",
                    "dict",
                    "tuple",
                    "set",
                    "collections.OrderedDict",
                    "collections.deque",
                    "Exception",
                    "types.SimpleNamespace",
                )
            ],
            *[
                (
                    f"the value of a subclass of {base}",
                    f"class K({base}): pass",
                    f"K({first})",
                    use,
                    f"net.c = lab['net'].K({second})",
                )
                for base, first, second, use in [
                    ("float", "1", "2", "float(self.c)"),
                    ("int", "1", "2", "int(self.c)"),
                    ("str", "'sin'", "'cos'", "getattr(torch, str(self.c))(x)"),
                    ("list", "[1]", "[2]", "self.c[0]"),
                    ("tuple", "[1]", "[2]", "self.c[0]"),
                    ("dict", "a=1", "a=2", "self.c['a']"),
                    ("set", "[1]", "[2]", "sum(self.c)"),
                    (
                        "collections.defaultdict",
                        "int",
                        "float",
                        "(1 + isinstance(self.c['a'], int))",
                    ),
                    ("functools.partial", "torch.sin", "torch.cos", "self.c(x)"),
                    ("random.Random", "1", "2", "(1 + 9 * copy.deepcopy(self.c).random())"),
                    ("array.array", "'f', [1]", "'f', [2]", "self.c[0]"),
                ]
            ],
            (
                "a float that hides",
                "class K(float):\n    def __getstate__(s): return None\n"
                "    def __reduce__(s): return K, (0,)",
                "K(1)",
                "float(self.c)",
                "net.c = lab['net'].K(2)",
            ),
            (
                "a named tuple",
                "K = collections.namedtuple('K', 'k')",
                "K(1)",
                "self.c.k",
                "net.c = net.c._replace(k=2)",
            ),
            (
                "a data class",
                "@dataclasses.dataclass\nclass K:\n    k: float = 1.0",
                "K()",
                "self.c.k",
                "net.c.k = 2.0",
            ),
            (
                "a frozen data class with slots",
                "@dataclasses.dataclass(frozen=True, slots=True)\nclass K:\n    k: float = 1.0",
                "K()",
                "self.c.k",
                "net.c = lab['net'].K(2.0)",
            ),
            (
                "the member of an enumeration",
                "class K(enum.Enum):\n    A = 1\n    B = 2",
                "K.A",
                "self.c.value",
                "net.c = lab['net'].K.B",
            ),
            (
                "a property",
                "class K:\n    @property\n    def k(self): return 1.0",
                "K()",
                "self.c.k",
                "patch(lab['net'].K, 'k', property(lambda self: 2.0))",
            ),
            (
                "a subclass of tensors",
                "class K(torch.Tensor): pass",
                "torch.ones(1).as_subclass(K); self.c.k = 1",
                "self.c.k",
                "net.c.k = 2",
            ),
            (
                "a subclass of arrays",
                "class K(np.ndarray): pass",
                "np.ones(1).view(K); self.c.k = 1",
                "self.c.k",
                "net.c.k = 2",
            ),
        ]
    },
    "an attribute of the class": (
        "class Net(Base):\n    k = 1.0\n    def before(self, x): return x * self.k",
        "patch(type(net), 'k', 2.0)",
    ),
    "an attribute of the class with underscores": (
        "class Net(Base):\n    __k__ = 1.0\n    def before(self, x): return x * self.__k__",
        "patch(type(net), '__k__', 2.0)",
    ),
    "an attribute of the metaclass": (
        "class Meta(type):\n    k = 1.0\n"
        "class K(metaclass=Meta): pass\n"
        "class Net(Base):\n    def before(self, x): return x * K.k",
        "patch(lab['net'].Meta, 'k', 2.0)",
    ),
}
