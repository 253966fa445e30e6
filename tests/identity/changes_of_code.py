"""Changes of code, of all that it reaches, and of what torch does with every network."""

from __future__ import annotations

#: The same.
OF_CODE: dict[str, tuple[str, str]] = {
    # code, and what it reaches
    "an attribute of a function": (
        "def f(x): return x * f.k\nf.k = 1.0\n"
        "class Net(Base):\n    def before(self, x): return f(x)",
        "lab['net'].f.k = 2.0",
    ),
    "a default value": (
        "class Net(Base):\n    def before(self, x, k=1.0): return x * k",
        "type(net).before.__defaults__ = (2.0,)",
    ),
    "a default value by keyword": (
        "class Net(Base):\n    def before(self, x, *, k=1.0): return x * k",
        "type(net).before.__kwdefaults__['k'] = 2.0",
    ),
    "code in place of code": (
        "def f(x): return x\nclass Net(Base):\n    def before(self, x): return f(x)",
        "lab['net'].f.__code__ = own_relu.__code__",
    ),
    "a variable of a closure": (
        "def make(k):\n"
        "    def f(x): return x * k\n"
        "    def put(v):\n        nonlocal k\n        k = v\n"
        "    return f, put\n"
        "f, put = make(1.0)\n"
        "class Net(Base):\n    def before(self, x): return f(x)",
        "lab['net'].put(2.0)",
    ),
    "what a decorator of torch's wraps": (
        "K = 1.0\nclass Net(Base):\n    @torch.no_grad()\n    def before(self, x): return x * K",
        "lab['net'].K = 2.0",
    ),
    "what pretends to be torch's": (
        "@functools.wraps(F.relu)\ndef f(x): return x * K\nK = 1.0\n"
        "class Net(Base):\n    def before(self, x): return f(x)",
        "lab['net'].K = 2.0",
    ),
    "what a cache wraps": (
        "@functools.lru_cache\ndef f(): return ops.SCALE\n"
        "class Net(Base):\n    def before(self, x): return x * f.__wrapped__()",
        "lab['ops'].SCALE = 2.0",
    ),
    "a global": (
        "K = 1.0\nclass Net(Base):\n    def before(self, x): return x * K",
        "lab['net'].K = 2.0",
    ),
    "a global that hides a built-in": (
        "class Net(Base):\n    def before(self, x): return x * abs(1)",
        "lab['net'].abs = lambda x: 2",
    ),
    "a global of a generator expression": (
        "K = 1.0\nclass Net(Base):\n    def before(self, x): return x * sum(K for _ in range(2))",
        "lab['net'].K = 2.0",
    ),
    "a value of a module": (
        "class Net(Base):\n    def before(self, x): return x * ops.SCALE",
        "lab['ops'].SCALE = 2.0",
    ),
    "a value of a module's module": (
        "class Net(Base):\n    def before(self, x): return x * ops.deep.SCALE",
        "lab['deep'].SCALE = 2.0",
    ),
    "a value behind a module's function": (
        "class Net(Base):\n    def before(self, x): return ops.deeper(x)",
        "lab['deep'].SCALE = 2.0",
    ),
    "a value of a module by its name": (
        "class Net(Base):\n    def before(self, x): return x * getattr(ops, 'SC' + 'ALE')",
        "lab['ops'].SCALE = 2.0",
    ),
    "a module that is handed on": (
        "def use(module, x): return x * module.SCALE\n"
        "class Net(Base):\n    def before(self, x): return use(ops, x)",
        "lab['ops'].SCALE = 2.0",
    ),
    "a module as an attribute": (
        "class Net(Base):\n    def prepare(self): self.m = ops\n"
        "    def before(self, x): return x * self.m.SCALE",
        "lab['ops'].SCALE = 2.0",
    ),
    "a table of a module": (
        "class Net(Base):\n    def before(self, x): return x * TABLE['inner'][0]",
        "lab['ops'].TABLE['inner'][0] = 2.0",
    ),
    "a tensor of a module": (
        "class Net(Base):\n    def before(self, x): return x * ops.WEIGHT",
        "lab['ops'].WEIGHT.add_(1)",
    ),
    "a function of a module": (
        "class Net(Base):\n    def before(self, x): return ops.act(x)",
        "lab['ops'].act = torch.sin",
    ),
    "an imported function": (
        "class Net(Base):\n    def before(self, x): return act(x)",
        "lab['net'].act = torch.sin",
    ),
    "a class of a module": (
        "class Net(Base):\n    def before(self, x): return x * Config.scale",
        "lab['ops'].Config.scale = 2.0",
    ),
    "an object of a class of a module": (
        "class Net(Base):\n    def prepare(self): self.c = Config()\n"
        "    def before(self, x): return x * self.c.k",
        "net.c.k = 2.0",
    ),
    "a value in a package that is installed": (
        "class Net(Base):\n    def before(self, x): return x * np.pi",
        "patch(np, 'pi', 1.0)",
    ),
    "an object of one's own in a package that is installed": (
        "class K: pass\nnp.my_config = K()\nnp.my_config.k = 1.0\n"
        "class Net(Base):\n    def before(self, x): return x * np.my_config.k",
        "np.my_config.k = 2.0",
    ),
    "a function of one's own in a package that is installed": (
        "class Net(Base):\n    def before(self, x): return x * float(np.mean([1.0]))",
        "patch(np, 'mean', lambda values: 2.0)",
    ),
    # what cannot be followed
    "the environment": (
        "import os\n"
        "class Net(Base):\n    def before(self, x): return x * float(os.environ.get('LAB_K', 1))",
        "env('LAB_K', '2')",
    ),
    "the environment by getenv": (
        "from os import getenv as get\n"
        "class Net(Base):\n    def before(self, x): return x * float(get('LAB_K', 1))",
        "env('LAB_K', '2')",
    ),
    "the environment by another name": (
        "from os import environ as env\n"
        "class Net(Base):\n    def before(self, x): return x * float(env.get('LAB_K', 1))",
        "env('LAB_K', '2')",
    ),
    "all globals": (
        "K = 1.0\nclass Net(Base):\n    def before(self, x): return x * globals()['K']",
        "lab['net'].K = 2.0",
    ),
    "text that is run": (
        "K = 1.0\nclass Net(Base):\n    def before(self, x): return x * eval('K')",
        "lab['net'].K = 2.0",
    ),
    "all modules": (
        "import sys\nK = 1.0\n"
        "class Net(Base):\n    def before(self, x): return x * sys.modules[__name__].K",
        "lab['net'].K = 2.0",
    ),
    "a module imported by its name": (
        "import importlib\n"
        "class Net(Base):\n"
        "    def before(self, x): return x * importlib.import_module(ops.__name__).SCALE",
        "lab['ops'].SCALE = 2.0",
    ),
    "a module imported inside": (
        "class Net(Base):\n    def before(self, x):\n        import OPS_MODULE as o\n"
        "        return x * o.SCALE",
        "lab['ops'].SCALE = 2.0",
    ),
    # torch's own settings
    "a global hook": (
        "",
        "undo(torch.nn.modules.module.register_module_forward_hook(double).remove)",
    ),
    "a global hook of a lambda": (
        "",
        "undo(torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: 2 * o).remove)",
    ),
    "a global pre-hook": (
        "",
        "undo(torch.nn.modules.module.register_module_forward_pre_hook(double_input).remove)",
    ),
    "the default type": (
        "class Net(Base):\n"
        "    def before(self, x): return x * (1 + (torch.ones(1).dtype != x.dtype))",
        "undo(lambda: torch.set_default_dtype(torch.float32)); "
        "torch.set_default_dtype(torch.float64)",
    ),
    "autocast": ("", "enter(torch.autocast('cpu', torch.bfloat16))"),
    "denormal numbers": (
        "class Net(Base):\n    def before(self, x): return (x * 1e-30) * 1e-10 * 1e30 * 1e10",
        "torch.set_flush_denormal(True); undo(lambda: torch.set_flush_denormal(False))",
    ),
    "a mode of one's own": ("", "enter(Mode())"),
}
